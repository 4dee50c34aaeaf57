//! `classify serve`: the service in the foreground.

use tokio::net::TcpListener;

use super::{load_taxonomy, signals};
use crate::cli::serve::ServeArgs;
use crate::error::{ExitStatus, Failure, Result};
use crate::service::{self, AuditLog, Shared};
use crate::shutdown::Level;
use crate::taxonomy::Rules;
use crate::ui::Ui;

pub(super) async fn run(args: ServeArgs, ui: Ui) -> Result<ExitStatus> {
    let taxonomy = load_taxonomy(args.taxonomy.as_deref())?;
    let rules = Rules::compile(&taxonomy)?;
    let open = |path: &std::path::PathBuf| {
        AuditLog::open(path)
            .map_err(|error| Failure::usage(format!("cannot open the audit log {}: {error}", path.display())))
    };
    let audit = args.audit_log.as_ref().map(open).transpose()?;
    let listener = TcpListener::bind(args.bind).await.map_err(|error| cannot_listen(&args, &error))?;
    let shutdown = signals::listen()?;
    ui.note(&format!("service    http://{} serves {}; Ctrl-C drains and stops", args.bind, taxonomy.id()));

    let shared = Shared::new(&taxonomy, rules, audit);
    service::serve(listener, shared, async move { shutdown.at_least(Level::Drain).await }).await;
    ui.note("service    stopped");
    Ok(ExitStatus::Success)
}

fn cannot_listen(args: &ServeArgs, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let port = args.bind.port();
        Failure::usage(format!("cannot listen on {}: the port is taken", args.bind))
            .hint(format!(
                "is `classify serve` running already? `ss -ltnp 'sport = :{port}'` shows who has the port"
            ))
            .hint("or choose another: `classify serve --bind 127.0.0.1:9081`")
    } else {
        Failure::usage(format!("cannot listen on {}: {error}", args.bind))
    }
}
