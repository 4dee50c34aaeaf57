//! What the service counts, and how Prometheus reads it.
//!
//! Owns names and help texts. No label has more than a handful of values: rows, batches and runs have none.

use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::outcome::{FailureClass, Outcome};
use crate::restate::names::ServiceInfo;

const CLASSIFIED: &str = "classified";
/// Built-in rules answer in microseconds, a model in seconds, a retried one in minutes.
const SECONDS: [f64; 12] = [0.000_1, 0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

type Outcomes = Family<[(&'static str, &'static str); 1], Counter>;

/// Counts since the process started.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    classifications: Outcomes,
    in_flight: Gauge,
    duration: Histogram,
    batches: Counter,
}

impl Metrics {
    /// Nothing counted yet.
    pub(super) fn new(info: &ServiceInfo) -> Self {
        let mut registry = Registry::default();
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let started_at = Gauge::<f64, AtomicU64>::default();
        started_at.set(started);
        registry.register_with_unit(
            "process_start_time",
            "When the process started, since 1970",
            Unit::Seconds,
            started_at,
        );
        let registry_of_ours = registry.sub_registry_with_prefix("classify");
        let build = Family::<[(&'static str, String); 2], Gauge>::default();
        let labels = [("version", info.version.clone()), ("taxonomy", info.taxonomy.clone())];
        build.get_or_create(&labels).set(1);
        registry_of_ours.register("build_info", "Version and label set of the service; always 1", build);
        let classifications = Outcomes::default();
        // A counter that is not there yet cannot be told from one that is not known.
        for outcome in std::iter::once(CLASSIFIED).chain(FailureClass::ALL.map(FailureClass::name)) {
            let _zero = classifications.get_or_create(&[("outcome", outcome)]);
        }
        registry_of_ours.register(
            "classifications",
            "Indicators answered, by `classified` or the class of failure",
            classifications.clone(),
        );
        let in_flight = Gauge::default();
        registry_of_ours.register(
            "classifications_in_flight",
            "Indicators being classified now",
            in_flight.clone(),
        );
        let duration = Histogram::new(SECONDS);
        registry_of_ours.register_with_unit(
            "classification_duration",
            "Time from an indicator's arrival to its answer",
            Unit::Seconds,
            duration.clone(),
        );
        let batches = Counter::default();
        registry_of_ours.register("batches", "Batches whose rows all have an outcome", batches.clone());
        Self { registry, classifications, in_flight, duration, batches }
    }

    /// An indicator arrived. It is in flight until what is returned goes away.
    pub(super) fn classifying(&self) -> Classifying<'_> {
        self.in_flight.inc();
        Classifying { metrics: self, since: Instant::now() }
    }

    /// A batch is done.
    pub(super) fn batch_finished(&self) {
        self.batches.inc();
    }

    /// All of it in the text format of `OpenMetrics`, which Prometheus reads.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = encode(&mut text, &self.registry);
        text
    }
}

/// An indicator in flight. One that is given up, with its connection, is in flight no more and was not answered.
#[derive(Debug)]
pub(super) struct Classifying<'a> {
    metrics: &'a Metrics,
    since: Instant,
}

impl Classifying<'_> {
    /// It was answered.
    pub(super) fn answered(self, outcome: &Outcome) {
        let name = match outcome {
            Outcome::Classified(_) => CLASSIFIED,
            Outcome::Failed(failed) => failed.class.name(),
        };
        self.metrics.classifications.get_or_create(&[("outcome", name)]).inc();
        self.metrics.duration.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Classifying<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
