//! When a process started, told so that no clock can change it.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Start times in seconds count from a boot time that is itself rounded.
const TOLERANCE_S: u64 = 2;
/// What Linux counts in, for every program (`USER_HZ`).
const TICKS_PER_S: u64 = 100;
/// The start in `/proc/PID/stat`, counted from the first field behind the program's name.
const START: usize = 19;

/// Identifies a process beyond the reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number, and that of the process group it leads.
    pub pid: u32,
    /// When it started, in seconds since 1970. The system reckons this from its clock, and says something else when that is set.
    pub started: u64,
    /// The same without a clock, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<Birth>,
    /// The user it runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

/// The start of a process in a count that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// Which start of the machine it was after.
    #[serde(with = "hexadecimal")]
    pub boot: u128,
    /// Ticks since then.
    pub ticks: u64,
}

mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u128::from_str_radix(&digits, 16).map_err(de::Error::custom)
    }
}

impl ProcessId {
    /// Whether `seen`, which runs, is the process that was recorded.
    pub(super) fn is(self, seen: Self) -> bool {
        let same_user = self.uid.zip(seen.uid).is_none_or(|(recorded, seen)| recorded == seen);
        self.pid == seen.pid
            && same_user
            && match (self.birth, seen.birth) {
                (Some(recorded), Some(seen)) => recorded == seen,
                _ => self.started.abs_diff(seen.started) <= TOLERANCE_S,
            }
    }

    /// Whether it can be, for a process with the recorded command line. Older versions recorded seconds only, which a clock that was set
    /// makes worthless.
    pub(super) fn may_be(self, seen: Self) -> bool {
        self.is(seen) || (self.pid == seen.pid && self.birth.is_none() && seen.birth.is_some())
    }
}

impl Birth {
    /// That of the process `pid`, if it runs and the system tells.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self { boot: boot_id(&boot)?, ticks: ticks(&stat)? })
    }

    /// Seconds since then.
    pub(super) fn age_s(self) -> Option<u64> {
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: u64 = uptime.split('.').next()?.parse().ok()?;
        Some(seconds.saturating_sub(self.ticks / TICKS_PER_S))
    }
}

fn boot_id(text: &str) -> Option<u128> {
    u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
}

/// The start out of a text in the format of `/proc/PID/stat`. The program's name may have blanks and parentheses in it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(START)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: ProcessId =
        ProcessId { pid: 7, started: 1_000_000, birth: Some(Birth { boot: 3, ticks: 500 }), uid: Some(1000) };

    #[test]
    fn a_clock_that_is_set_hides_no_process() {
        for step in [0, 3, 86_400, 900_000] {
            for started in [SEEN.started - step, SEEN.started + step] {
                assert!(ProcessId { started, ..SEEN }.is(SEEN), "{step}");
            }
        }
    }

    #[test]
    fn another_process_with_the_same_number_is_another_one() {
        let born = |boot, ticks| ProcessId { birth: Some(Birth { boot, ticks }), ..SEEN };
        let theirs = ProcessId { uid: Some(1001), ..SEEN };
        for other in [born(3, 501), born(3, 499), born(4, 500), ProcessId { pid: 8, ..SEEN }, theirs] {
            assert!(!other.is(SEEN) && !other.may_be(SEEN), "{other:?}");
        }
    }

    #[test]
    fn a_record_of_an_older_version_goes_by_seconds_and_by_the_command_line() {
        let older = ProcessId { birth: None, uid: None, ..SEEN };
        assert!(older.is(SEEN));
        let stepped = ProcessId { started: SEEN.started + 60, ..older };
        assert!(!stepped.is(SEEN) && stepped.may_be(SEEN));
        // A system without such a count has nothing but the seconds.
        assert!(!stepped.may_be(ProcessId { birth: None, ..SEEN }));
    }

    #[test]
    fn the_record_is_read_back_also_that_of_an_older_version() {
        let birth =
            Birth { boot: boot_id("02a99892-5d95-42d6-bb5c-aec6cd31c120\n").unwrap(), ticks: 1_530_195 };
        let id = ProcessId { birth: Some(birth), uid: Some(0), ..SEEN };
        let json = serde_json::to_string(&id).unwrap();
        assert!(json.contains("\"02a998925d9542d6bb5caec6cd31c120\""), "{json}");
        assert_eq!(serde_json::from_str::<ProcessId>(&json).unwrap(), id);
        let older: ProcessId = serde_json::from_str(r#"{"pid":7,"started":1000000}"#).unwrap();
        assert_eq!(older, ProcessId { birth: None, uid: None, ..SEEN });
    }

    #[test]
    fn the_process_table_is_read() {
        let stat =
            "27807 (a (b) c) R 27793 27793 29552 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 1530195 3133440";
        assert_eq!(ticks(stat), Some(1_530_195));
        assert_eq!(ticks("nonsense"), None);
        if cfg!(target_os = "linux") {
            let own = Birth::of(std::process::id()).unwrap();
            assert_eq!(Birth::of(std::process::id()), Some(own));
            assert!(own.age_s().unwrap() < 3600);
        }
    }
}
