//! `classify serve`: the service in the foreground.

use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpListener;

use super::registration::Registration;
use super::{load_taxonomy, signals, target};
use crate::cli::Global;
use crate::cli::serve::ServeArgs;
use crate::error::{ExitStatus, Failure, Result};
use crate::llm::{Access, Backoff, Prices, Provider, Timeouts};
use crate::restate::ingress::Ingress;
use crate::service::{self, AuditLog, ModelSettings, Shared};
use crate::shutdown::Level;
use crate::taxonomy::Rules;
use crate::throttle::budget::Limits;
use crate::ui::{Ui, context};

/// Patience with one question to a node.
const ASK: Duration = Duration::from_secs(2);

pub(super) async fn run(global: &Global, args: ServeArgs, ui: Ui) -> Result<ExitStatus> {
    context::set(&args.cluster, args.taxonomy.as_deref());
    let taxonomy = load_taxonomy(args.taxonomy.as_deref())?;
    let rules = Rules::compile(&taxonomy)?;
    let open = |path: &std::path::PathBuf| {
        AuditLog::open(path)
            .map_err(|error| Failure::usage(format!("cannot open the audit log {}: {error}", path.display())))
    };
    let audit = args.audit_log.as_ref().map(open).transpose()?;
    let models = models(global, &args)?;
    let nodes = models.nodes.clone();
    // Nodes that are named by their URLs may be of any cluster.
    let cluster = args.ingress.is_empty().then_some(args.cluster.as_str());
    let secret = target::secret(global, cluster)?;
    let identity_keys = match (args.identity_keys.as_slice(), cluster) {
        ([], Some(cluster)) => target::identity_key(global, cluster)?.into_iter().collect(),
        (given, _) => given.to_vec(),
    };
    let is_open = secret.is_none();
    let keys: Vec<&str> = models.access.iter().filter_map(Access::key_source).collect();
    let shared = Shared::new(&taxonomy, rules, models, audit, secret);
    let metrics = shared.metrics();
    let answers_all = identity_keys.is_empty();
    let service = service::endpoint(shared, &identity_keys)?;
    let mut registration = Registration::look(global, &args).await?;
    let listener = service::listen(args.bind).map_err(|error| cannot_listen(&args, &error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(&args, &error))?;
    let exporter = match args.metrics {
        Some(address) => Some(TcpListener::bind(address).await.map_err(|error| {
            Failure::usage(format!("cannot listen on {address} for Prometheus: {error}"))
                .hint("choose another address: `--metrics ADDRESS`")
        })?),
        None => None,
    };
    let shutdown = signals::listen_as_service()?;
    ui.note(&format!("service    http://{} serves {}; Ctrl-C drains and stops", address, taxonomy.id()));

    if is_open {
        ui.warn(
            "this service has no secret of a cluster: whoever reaches a node's ingress may start calls and change limits (docs/security.md)",
        );
    }
    if !keys.is_empty() {
        ui.note(&format!("keys       {}", keys.join(", ")));
    }
    if !address.ip().is_loopback() && answers_all {
        ui.warn(&format!(
            "{address} answers whoever reaches it: with `--identity-key` it answers the nodes alone (docs/operations.md)"
        ));
    }
    tokio::spawn(async move { warn_without_leases(&nodes, ui).await });
    if let Some(listener) = exporter {
        let address = listener.local_addr().map_err(|error| Failure::unexpected(error.to_string()))?;
        ui.note(&format!("metrics    http://{address}/metrics"));
        tokio::spawn(service::export(listener, metrics));
    }
    let mut serving = pin!(service::serve(listener, service, shutdown.clone()));
    tokio::select! {
        () = &mut serving => {}
        registered = async {
            match &mut registration {
                Some(registration) => registration.register(&args, address, shutdown.clone(), ui).await,
                None => Ok(()),
            }
        } => {
            registered?;
            serving.as_mut().await;
        }
    }
    if let Some(registration) = registration {
        tokio::select! {
            () = registration.give_back(ui) => {}
            () = shutdown.at_least(Level::Stop) => {}
        }
    }
    ui.note("service    stopped");
    Ok(ExitStatus::Success)
}

/// What this process can ask, by the keys in its environment.
fn models(global: &Global, args: &ServeArgs) -> Result<ModelSettings> {
    #[expect(
        clippy::disallowed_methods,
        reason = "keys are nobody's flag: a command line can be seen by everybody"
    )]
    // A key that is no text could not be sent: it is as good as none, and is asked for by name.
    let variable = |name: &str| std::env::var(name).ok();
    let configured = Provider::ALL.into_iter().filter(|provider| Access::is_configured(*provider, variable));
    let access =
        configured.map(|provider| Access::from_env(provider, variable)).collect::<Result<Vec<_>>>()?;
    let nodes = match access.as_slice() {
        [] => Vec::new(),
        _ => {
            target::ingress(global, &args.cluster, &args.ingress)?.into_iter().map(|(_, node)| node).collect()
        }
    };
    let prices = match &args.prices {
        Some(file) => Prices::embedded().overridden_by(file)?,
        None => Prices::embedded(),
    };
    let limits = Limits {
        requests: args.llm_rpm.map(|limit| limit.get().into()),
        tokens: args.llm_tpm.map(|limit| limit.get().into()),
        concurrency: Some(args.llm_concurrency.get().into()),
    };
    let timeouts = Timeouts::within(Duration::from_secs(args.llm_timeout.get().into()));
    let form = args.answer_form.as_deref().map(str::parse).transpose().map_err(Failure::usage)?;
    Ok(ModelSettings { access, limits, nodes, prices, backoff: Backoff::default(), timeouts, form })
}

/// Says so when models cannot be asked: their limits are kept by the cluster, and none of its nodes answers.
async fn warn_without_leases(nodes: &[Ingress], ui: Ui) {
    let mut urls = Vec::new();
    for node in nodes {
        if node.alive(ASK).await.is_ok() {
            return;
        }
        urls.push(node.url());
    }
    if !urls.is_empty() {
        ui.warn(&format!(
            "no Restate node answers at {}: requests to models wait until one does (`--cluster NAME` or `--ingress URL` name others)",
            urls.join(", ")
        ));
    }
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
