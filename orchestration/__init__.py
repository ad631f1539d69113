"""Everything that turns connectors into Dagster assets; knows Dagster, knows no vendor by name."""

import warnings

from dagster import BetaWarning, PreviewWarning

# Backfill policies and declared data versions are beta in Dagster 1.13 and used on purpose.
warnings.filterwarnings("ignore", category=BetaWarning)
warnings.filterwarnings("ignore", category=PreviewWarning)
