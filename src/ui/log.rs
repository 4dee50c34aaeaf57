//! What `-v` shows: the program's own log, on stderr.

use restate_sdk::filter::ReplayAwareFilter;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sends log lines of this level to stderr from now on: 0 warnings, 1 information, 2 details, 3 everything. Lines
/// of a handler that Restate replays are left out, they were logged the first time.
pub fn start(verbose: u8) {
    let (ours, others) = match verbose {
        0 => (Level::WARN, LevelFilter::ERROR),
        1 => (Level::INFO, LevelFilter::WARN),
        2 => (Level::DEBUG, LevelFilter::INFO),
        _ => (Level::TRACE, LevelFilter::DEBUG),
    };
    let levels = Targets::new().with_target(env!("CARGO_PKG_NAME"), ours).with_default(others);
    // The filter of lines has to see the SDK's span, and can switch nothing off for good: each of the thousands of spans a second that
    // HTTP/2 would open has to be ruled out in front of it.
    let known = levels.clone().with_target("restate_sdk", others.max(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // A second start in one process (a test's) keeps the first one's log.
    let _already = tracing_subscriber::registry()
        .with(known)
        .with(lines.with_filter(levels).with_filter(ReplayAwareFilter))
        .try_init();
}
