"""The project, assembled: every connector found, every stream an asset, every frame beside them."""

from dataclasses import replace

import dagster as dg

from connector_resources.sources import discover
from orchestration import frames
from orchestration.accounts import read_accounts
from orchestration.assets import stream_asset
from orchestration.automatic_runs import is_scheduled, schedules, sensors
from orchestration.checks import document_checks, frame_checks, stream_checks
from orchestration.connection import source_resource
from orchestration.documents import document_assets, documented
from orchestration.exports import export_asset, read_exports
from orchestration.partitions import daily
from orchestration.rate_budget import rate_budget_assets
from orchestration.refusal import in_one_line
from orchestration.report.asset import sync_report_asset
from orchestration.resources import shared_resources
from orchestration.settings import Settings

with in_one_line():
    settings = Settings.from_environment()
    accounts = read_accounts(settings.accounts_file, discover())
    settings = replace(settings, enabled=settings.enabled.union(*(account.enabled for account in accounts)))
    sources = [account.kind for account in accounts]
    settings.require_known({source.name: source.streams for source in sources})

partitions = daily(settings.start)
selected = {source.name: settings.selected(source.name, source.streams) for source in sources}
scheduled = {source.name: selected[source.name] for source in sources if is_scheduled(source, settings.mode)}
budgets = rate_budget_assets(sources, settings.mode)
flat = frames.made_of([source.name for source in sources], frames.assets(settings.mode))

assets = [
    *(
        stream_asset(
            source,
            stream,
            partitions,
            settings.mode,
            tick=settings.tick if source.name in scheduled else None,
            owners=settings.owners,
        )
        for source in sources
        for stream in selected[source.name]
    ),
    *flat,
]
with in_one_line():
    tables = {".".join(key.path) for asset in assets for key in asset.keys}
    exports = read_exports(settings.exports_file, tables, settings.data_folder, settings.mode)

defs = dg.Definitions(
    assets=[
        *assets,
        *(asset for source in sources for asset in document_assets(source, selected[source.name], settings.mode)),
        *(export_asset(export, settings.mode) for export in exports),
        *budgets,
        sync_report_asset(assets, sources, settings.mode),
    ],
    asset_checks=[
        *(stream_checks(source, stream) for source in sources for stream in selected[source.name]),
        *map(frame_checks, frames.rules(flat)),
        *(document_checks(source, selected[source.name]) for source in sources if documented(selected[source.name])),
    ],
    schedules=schedules(settings, scheduled, [asset.key for asset in budgets]),
    sensors=sensors(settings, scheduled, partitions, sources),
    resources={
        **shared_resources(settings),
        **{account.kind.name: source_resource(account.kind, settings, account.fields) for account in accounts},
    },
    executor=dg.in_process_executor,
)
