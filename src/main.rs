//! The binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    classify::main(std::env::args_os())
}
