"""Secrets by name, wherever they are, and configurations that refer to them instead of holding them.

    source = ab.get_source("source-aha", config={"url": "acme.aha.io", "api_key": ab.get_secret("AHA_API_KEY")})
    source = ab.get_source("source-aha", config={"url": "acme.aha.io", "api_key": "secret_reference::AHA_API_KEY"})

The first is looked up now, the second when the source is used. Managers of clouds import their libraries when one is
made, and not before.
"""

from connector_resources.secrets.aws import AWSSecretManager
from connector_resources.secrets.azure import AzureKeyVaultSecretManager
from connector_resources.secrets.base import SecretHandle, SecretManager, SecretSourceEnum, SecretString
from connector_resources.secrets.google_gsm import GoogleGSMSecretManager, GSMSecretHandle
from connector_resources.secrets.here import (
    ColabSecretManager,
    DotenvSecretManager,
    EnvVarSecretManager,
    SecretsPrompt,
)
from connector_resources.secrets.lookup import (
    SECRETS_HYDRATION_PREFIX,
    CustomSecretManager,
    clear_secret_sources,
    disable_secret_source,
    get_secret,
    is_reference,
    is_secret_available,
    register_secret_manager,
    reset_secret_sources,
    resolved,
    try_get_secret,
)
from connector_resources.secrets.vault import VaultSecretManager

__all__ = [
    "SECRETS_HYDRATION_PREFIX",
    "AWSSecretManager",
    "AzureKeyVaultSecretManager",
    "ColabSecretManager",
    "CustomSecretManager",
    "DotenvSecretManager",
    "EnvVarSecretManager",
    "GSMSecretHandle",
    "GoogleGSMSecretManager",
    "SecretHandle",
    "SecretManager",
    "SecretSourceEnum",
    "SecretString",
    "SecretsPrompt",
    "VaultSecretManager",
    "clear_secret_sources",
    "disable_secret_source",
    "get_secret",
    "is_reference",
    "is_secret_available",
    "register_secret_manager",
    "reset_secret_sources",
    "resolved",
    "try_get_secret",
]
