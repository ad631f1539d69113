"""Secrets of HashiCorp Vault; needs the extra `vault`."""

from connector_resources.secrets.base import SecretSourceEnum, SecretString
from connector_resources.secrets.cloud import CloudSecretManager, library


class VaultSecretManager(CloudSecretManager):
    """A key-value engine (version 2) of a HashiCorp Vault, where a path holds several secrets by key.

    A name is a key at `path`, or `other/path#key`. Without `url` and `token` they are those that the library finds by
    itself: VAULT_ADDR, VAULT_TOKEN, the file ~/.vault-token.
    """

    name = SecretSourceEnum.VAULT.value
    store = "HashiCorp Vault"

    def __init__(
        self,
        path: str,
        *,
        mount_point: str = "secret",
        url: str | None = None,
        token: str | None = None,
        namespace: str | None = None,
        auto_register: bool = False,
        as_backup: bool = False,
    ) -> None:
        hvac = library("hvac", "vault")
        with self.signing_in():
            self.client = hvac.Client(url=url, token=token, namespace=namespace)
        self.path = path
        self.mount_point = mount_point
        super().__init__(auto_register=auto_register, as_backup=as_backup)

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the secret of that key; its newest version."""
        path, _, key = secret_name.rpartition("#")
        not_found = library("hvac.exceptions", "vault").InvalidPath
        try:
            answer = self.client.secrets.kv.v2.read_secret_version(
                path=path or self.path, mount_point=self.mount_point, raise_on_deleted_version=True
            )
        except not_found:
            return None
        except Exception as error:
            raise self.refused(secret_name, error) from None
        value = answer["data"]["data"].get(key)
        return None if value is None else SecretString(value)
