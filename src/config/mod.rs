//! Settings from a file and from the environment, below what is typed.
//!
//! A setting is an option of the command line: `--max-in-flight` of `run` is `max_in_flight` in the table `[run]`, and `CLASSIFY_MAX_IN_FLIGHT` in
//! the environment. There is no second list of them: everything here is worked out from clap's own definitions. What a file says becomes
//! an option's default before the command line is parsed, so that one parser judges all values. Flags win over the environment, the
//! environment over the file. A file that nobody named, in the current folder, may set only what starts, loads and sends nothing. Keys of providers are no settings: they stand in the environment alone, and a file with one is refused.

mod apply;
mod example;
mod file;
mod setting;
mod show;

pub use apply::{NOBODY, apply, with_environment};
pub use example::example;
pub use file::{Entry, File, Trust};
pub use setting::{Sections, Setting, settings};
pub use show::{Origin, Places, Shown, list};
