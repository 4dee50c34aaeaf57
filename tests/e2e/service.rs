//! `serve` as a process.

use nix::sys::signal::Signal;

use crate::support::World;

pub(crate) fn says_when_its_port_is_taken(world: &mut World) {
    let bind = format!("127.0.0.1:{}", world.service_port());
    let refused = world.classify(&["serve", "--bind", &bind]).expect_code(2);
    let expected = format!("error: cannot listen on {bind}: the port is taken");
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint:"), "{}", refused.stderr);
}

pub(crate) fn drains_on_sigterm(world: &mut World) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        assert_eq!(world.end_service(signal), Some(0), "{signal}");
        world.start_service();
    }
}
