"""Imports all that the demo's roles import when they run. Each would need a second of processor time for it.

Importing starts no thread and reads no setting, so a process may import this and fork.
"""

import prometheus_client
import uvicorn

import api.exchange.app
import api.own.app
import api.serving
import api.tls
import eventlog.kafka
import federation.partners.pulling
import federation.publications.publisher
import ingest.cameras.camera_feed
import ingest.cameras.simulated
import ingest.feed
import ingest.journal
import ingest.register_file
import ingest.simulated.bins
import ingest.simulated.fleet
import ingest.simulated.premises
import ingest.simulated.rounds
import ingest.simulated.simulator
import node.cli
import processors.frame_fold
import processors.plates.network
import processors.reading_fold
import processors.region_output
import processors.runner
import store.migrations
import store.processing_postgres

MODULES = (
    api.exchange.app,
    api.own.app,
    api.serving,
    api.tls,
    eventlog.kafka,
    federation.partners.pulling,
    federation.publications.publisher,
    ingest.cameras.camera_feed,
    ingest.cameras.simulated,
    ingest.feed,
    ingest.journal,
    ingest.register_file,
    ingest.simulated.bins,
    ingest.simulated.fleet,
    ingest.simulated.premises,
    ingest.simulated.rounds,
    ingest.simulated.simulator,
    node.cli,
    processors.frame_fold,
    processors.plates.network,
    processors.reading_fold,
    processors.region_output,
    processors.runner,
    prometheus_client,
    store.migrations,
    store.processing_postgres,
    uvicorn,
)
