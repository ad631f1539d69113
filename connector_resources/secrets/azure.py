"""Secrets of Azure Key Vault; needs the extra `azure`."""

from connector_resources.secrets.base import SecretSourceEnum, SecretString
from connector_resources.secrets.cloud import CloudSecretManager, library


class AzureKeyVaultSecretManager(CloudSecretManager):
    """One Azure Key Vault, `https://NAME.vault.azure.net`, by the newest version of each secret.

    The credentials are those that Azure's library finds by itself: AZURE_CLIENT_ID and its kin, a managed identity, the
    command line's. Names in a vault have dashes and no underscores: AHA_API_KEY is looked for as AHA-API-KEY.
    """

    name = SecretSourceEnum.AZURE.value
    store = "Azure Key Vault"

    def __init__(self, vault_url: str, *, auto_register: bool = False, as_backup: bool = False) -> None:
        identity, vaults = library("azure.identity", "azure"), library("azure.keyvault.secrets", "azure")
        with self.signing_in():
            self.client = vaults.SecretClient(vault_url=vault_url, credential=identity.DefaultAzureCredential())
        super().__init__(auto_register=auto_register, as_backup=as_backup)

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the secret of that name."""
        not_found = library("azure.core.exceptions", "azure").ResourceNotFoundError
        try:
            value = self.client.get_secret(secret_name.replace("_", "-")).value
        except not_found:
            return None
        except Exception as error:
            raise self.refused(secret_name, error) from None
        return None if value is None else SecretString(value)
