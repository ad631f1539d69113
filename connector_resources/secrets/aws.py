"""Secrets of AWS Secrets Manager; needs the extra `aws`."""

from connector_resources.secrets.base import SecretSourceEnum, SecretString
from connector_resources.secrets.cloud import CloudSecretManager, library


class AWSSecretManager(CloudSecretManager):
    """AWS Secrets Manager in one region, by the current version of each secret.

    The credentials are those that boto3 finds by itself: AWS_ACCESS_KEY_ID and its kin, a profile, the machine's role.
    `prefix` comes before every name, such as `prod/`.
    """

    name = SecretSourceEnum.AWS.value
    store = "AWS Secrets Manager"

    def __init__(
        self,
        region: str | None = None,
        *,
        profile: str | None = None,
        prefix: str = "",
        auto_register: bool = False,
        as_backup: bool = False,
    ) -> None:
        boto3 = library("boto3", "aws")
        with self.signing_in():
            self.client = boto3.Session(region_name=region, profile_name=profile).client("secretsmanager")
        self.prefix = prefix
        super().__init__(auto_register=auto_register, as_backup=as_backup)

    def get_secret(self, secret_name: str) -> SecretString | None:
        """Return the secret of that name; one that is bytes as the UTF-8 text they are."""
        try:
            answer = self.client.get_secret_value(SecretId=f"{self.prefix}{secret_name}")
        except self.client.exceptions.ResourceNotFoundException:
            return None
        except Exception as error:
            # All refusals are of one class, and have a word for what they are.
            code = getattr(error, "response", {}).get("Error", {}).get("Code")
            raise self.refused(secret_name, error, code) from None
        text = answer.get("SecretString")
        return SecretString(answer["SecretBinary"].decode() if text is None else text)
