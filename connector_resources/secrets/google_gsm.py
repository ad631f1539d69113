"""Secrets of Google Secret Manager; needs the extra `google`."""

from collections.abc import Iterator, Mapping

from connector_resources.exceptions import PyAirbyteInputError, PyAirbyteSecretNotFoundError
from connector_resources.secrets.base import SecretHandle, SecretSourceEnum, SecretString
from connector_resources.secrets.cloud import CloudSecretManager, library


class GoogleGSMSecretManager(CloudSecretManager):
    """Google Secret Manager, by the newest version of each secret of a project.

    The credentials are a service account's, as a file or as the JSON in it; without either, those that Google's
    libraries find by themselves: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, the machine's.
    """

    name = SecretSourceEnum.GOOGLE_GSM.value
    store = "Google Secret Manager"
    CONNECTOR_LABEL = "connector"

    def __init__(
        self,
        project: str,
        *,
        credentials_path: str | None = None,
        credentials_json: str | None = None,
        auto_register: bool = False,
        as_backup: bool = False,
    ) -> None:
        if credentials_path and credentials_json:
            raise PyAirbyteInputError("Both credentials_path and credentials_json are given. Give one of them.")
        self.project = project
        client = library("google.cloud.secretmanager", "google").SecretManagerServiceClient
        with self.signing_in():
            if credentials_json:
                self.secret_client = client.from_service_account_info(SecretString(credentials_json).parse_json())
            elif credentials_path:
                self.secret_client = client.from_service_account_file(credentials_path)
            else:
                self.secret_client = client()
        super().__init__(auto_register=auto_register, as_backup=as_backup)

    def _path(self, secret_name: str) -> str:
        """Return the whole name of a secret, without a version."""
        return secret_name if secret_name.startswith("projects/") else f"projects/{self.project}/secrets/{secret_name}"

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the secret of that name, short or whole (projects/…), of its newest version unless it names one."""
        path = self._path(secret_name)
        version = path if "/versions/" in path else f"{path}/versions/latest"
        not_found = library("google.api_core.exceptions", "google").NotFound
        try:
            answer = self.secret_client.access_secret_version(name=version)
        except not_found:
            return None
        except Exception as error:
            raise self.refused(secret_name, error) from None
        return SecretString(answer.payload.data.decode())

    def get_secret_handle(self, secret_name: str) -> "GSMSecretHandle":
        """Return a secret that is fetched when its value is asked for, with its labels."""
        return GSMSecretHandle(self, self._path(secret_name))

    def fetch_secrets(self, *, filter_string: str) -> Iterator["GSMSecretHandle"]:
        """Yield the project's secrets that a filter of Google's lets through, such as `labels.connector=source-aha`."""
        request = {"filter": filter_string, "parent": f"projects/{self.project}"}
        for secret in self.secret_client.list_secrets(request=request):
            yield GSMSecretHandle(self, secret.name)

    def fetch_secrets_by_label(self, label_key: str, label_value: str) -> Iterator["GSMSecretHandle"]:
        """Yield the project's secrets with that label."""
        return self.fetch_secrets(filter_string=f"labels.{label_key}={label_value}")

    def fetch_connector_secrets(self, connector_name: str) -> Iterator["GSMSecretHandle"]:
        """Yield the project's secrets whose label `connector` is that connector."""
        return self.fetch_secrets_by_label(self.CONNECTOR_LABEL, connector_name)

    def fetch_connector_secret(self, connector_name: str) -> "GSMSecretHandle":
        """Return the first of them. Raises PyAirbyteSecretNotFoundError where there is none."""
        for handle in self.fetch_connector_secrets(connector_name):
            return handle
        raise PyAirbyteSecretNotFoundError(
            f"No secret of the project {self.project} has the label {self.CONNECTOR_LABEL}={connector_name}.",
            guidance="Give one that label.",
            sources=[self.name],
        )


class GSMSecretHandle(SecretHandle):
    """A secret of Google Secret Manager."""

    parent: GoogleGSMSecretManager

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the secret."""
        labels: Mapping[str, str] = self.parent.secret_client.get_secret(name=self.secret_name).labels
        return labels
