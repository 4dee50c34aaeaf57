//! The models this process can ask, and what it takes to ask them: keys, limits, prices.
//!
//! Owns one HTTP client per provider, one limiter per model and one [`Desk`] per model and way of asking it, made when first asked for; of
//! limiters and desks those that were asked last: whoever reaches the cluster can name any model. Requests and
//! answers are `llm`'s business, budgets are `limits`'.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use indexmap::IndexMap;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::call::{Call, Departure};
use super::limiter::Limiter;
use crate::domain::indicator::Indicator;
use crate::domain::method::{Effort, Method};
use crate::domain::money::{Allowance, PerMillion};
use crate::domain::outcome::Usage;
use crate::llm::{
    Access, Asked, Asker, Backoff, Client, Form, Model, ModelOptions, Prices, Provider, Timeouts,
};
use crate::restate::ingress::Ingress;
use crate::taxonomy::Taxonomy;
use crate::throttle::budget::Limits;

/// How long the first of several indicators for one request waits for the others. Calls of one batch arrive by way of three nodes,
/// within some tens of milliseconds; a model takes seconds.
const GATHER: Duration = Duration::from_millis(150);
/// Most desks. Each has a prompt, and its model a limiter that talks to the nodes.
const MOST_DESKS: usize = 64;

/// What a process is told about models when it starts.
#[derive(Debug)]
pub struct ModelSettings {
    /// Providers it has keys for.
    pub access: Vec<Access>,
    /// Limits of each model, until a person sets others.
    pub limits: Limits,
    /// Nodes that are asked for leases of them; not empty where there is a provider.
    pub nodes: Vec<Ingress>,
    /// What models cost.
    pub prices: Prices,
    /// When a request is repeated.
    pub backoff: Backoff,
    /// How long a provider may take.
    pub timeouts: Timeouts,
    /// How a compatible server is asked for the form of an answer; found out where this is absent.
    pub form: Option<Form>,
}

/// All models.
#[derive(Debug)]
pub(super) struct Models {
    settings: ModelSettings,
    taxonomy: Taxonomy,
    limiters: Mutex<HashMap<Model, Limiter>>,
    clients: Mutex<HashMap<Provider, Client>>,
    /// The one that was asked last is the last.
    desks: Mutex<IndexMap<Way, Arc<Desk>>>,
}

/// A model, most indicators per request, and how long it shall think.
type Way = (Model, NonZeroUsize, Option<Effort>);

/// Where one model is asked, by as many indicators at once as fit into a request.
#[derive(Debug)]
struct Desk {
    asker: Asker<Limiter>,
    price: Option<PerMillion>,
    group: usize,
    /// By run: what one of another run is asked, or may cost, is not this one's business.
    gathering: Mutex<HashMap<String, Gathering>>,
}

/// The request of a run that is coming together.
#[derive(Debug)]
struct Gathering {
    /// Tells requests apart, so that a wait that is over ends its own and not the next one.
    number: u64,
    allowance: Option<Allowance>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    indicator: Indicator,
    call: Arc<Call>,
    answer: oneshot::Sender<Asked>,
}

/// Why a model was not asked.
#[derive(Debug)]
pub(super) enum NotAsked {
    /// It cannot be, for this reason.
    Impossible(String),
    /// The call was cancelled before it left.
    Cancelled,
}

impl<T: Into<String>> From<T> for NotAsked {
    fn from(reason: T) -> Self {
        Self::Impossible(reason.into())
    }
}

/// An answer, or why there is none, and what it cost.
#[derive(Debug)]
pub(super) struct Priced {
    pub(super) asked: Asked,
    pub(super) usage: Usage,
}

impl Models {
    pub(super) fn new(settings: ModelSettings, taxonomy: Taxonomy) -> Self {
        Self {
            settings,
            taxonomy,
            limiters: Mutex::default(),
            clients: Mutex::default(),
            desks: Mutex::default(),
        }
    }

    /// Limits of each model, until a person sets others.
    pub(super) fn limits(&self) -> Limits {
        self.settings.limits
    }

    /// Names of the providers there are keys for.
    pub(super) fn providers(&self) -> impl Iterator<Item = String> {
        self.settings.access.iter().map(|access| access.provider().to_string())
    }

    /// Asks the method's model about `indicator`, together with others of the `run` where that is wanted; why it was not
    /// asked otherwise.
    pub(super) async fn ask(
        &self,
        method: &Method,
        run: &str,
        indicator: Indicator,
        call: Arc<Call>,
    ) -> Result<Priced, NotAsked> {
        let model = method.model.as_deref().ok_or("the run names no model")?;
        let model: Model = model.parse().map_err(|error| format!("`{model}`: {error}"))?;
        let desk = self.desk(&model, method.items_per_call.unwrap_or(NonZeroUsize::MIN), method.effort)?;
        let allowance = method.allowance;
        let asked = desk.ask(run, allowance, indicator, call).await?;
        let price = allowance.map(|allowance| allowance.price).or(desk.price);
        let usage = asked.usage.priced(price.as_ref());
        Ok(Priced { asked, usage })
    }

    fn desk(&self, model: &Model, group: NonZeroUsize, effort: Option<Effort>) -> Result<Arc<Desk>, String> {
        let way = (model.clone(), group, effort);
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = desks.shift_remove(&way) {
            desks.insert(way, Arc::clone(&desk));
            return Ok(desk);
        }
        let ModelSettings { prices, backoff, .. } = &self.settings;
        let client = self.client(model.provider)?;
        if desks.len() >= MOST_DESKS {
            self.make_room(&mut desks)?;
        }
        let options =
            ModelOptions { form: self.settings.form, ..ModelOptions::new(model.provider, group, effort) };
        let limiter = self.limiter(model);
        let asker = Asker::new(client, &model.name, options, &self.taxonomy, *backoff, limiter);
        let price = prices.of(model).map(PerMillion::from);
        let group_size = options.items_per_call.get();
        let desk = Arc::new(Desk { asker, price, group: group_size, gathering: Mutex::default() });
        desks.insert(way, Arc::clone(&desk));
        Ok(desk)
    }

    /// Connections to a provider are shared by its models.
    fn client(&self, provider: Provider) -> Result<Client, String> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&provider) {
            return Ok(client.clone());
        }
        let ModelSettings { access, timeouts, .. } = &self.settings;
        let access = access
            .iter()
            .find(|access| access.provider() == provider)
            .ok_or_else(|| format!("the service has no provider `{provider}`"))?;
        let client =
            Client::new(access.clone(), *timeouts).map_err(|failure| failure.message().to_owned())?;
        clients.insert(provider, client.clone());
        Ok(client)
    }

    /// Gives up the desk that was asked longest ago, of those that nobody waits at, and with its last desk a model's limiter.
    fn make_room(&self, desks: &mut IndexMap<Way, Arc<Desk>>) -> Result<(), String> {
        // Whoever asks or is asked holds it, too; nobody can take hold of it meanwhile.
        let idle = desks.values().position(|desk| Arc::strong_count(desk) == 1);
        let Some(((model, ..), _)) = idle.and_then(|index| desks.shift_remove_index(index)) else {
            return Err(format!("the service asks {MOST_DESKS} models already"));
        };
        if desks.keys().all(|(other, ..)| *other != model) {
            let limiter = self.limiters.lock().unwrap_or_else(PoisonError::into_inner).remove(&model);
            // Its places are others' once the cluster has heard.
            limiter.map(|limiter| tokio::spawn(async move { limiter.close().await }));
        }
        Ok(())
    }

    /// Lets no more requests leave, and gives back what the process may have under way once nothing is.
    pub(super) async fn close(&self) {
        let limiters: Vec<Limiter> =
            self.limiters.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        join_all(limiters.iter().map(Limiter::close)).await;
    }

    fn limiter(&self, model: &Model) -> Limiter {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || Limiter::start(model.to_string(), self.settings.limits, self.settings.nodes.clone());
        limiters.entry(model.clone()).or_insert_with(start).clone()
    }
}

impl Desk {
    /// Asks about one indicator, alone or together with others of its run that arrive about now.
    async fn ask(
        self: &Arc<Self>,
        run: &str,
        allowance: Option<Allowance>,
        indicator: Indicator,
        call: Arc<Call>,
    ) -> Result<Asked, NotAsked> {
        let (answer, answered) = oneshot::channel();
        let full = {
            let mut gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
            let request = gathering.entry(run.to_owned()).or_insert_with(|| {
                let number = fastrand::u64(..);
                if self.group > 1 {
                    tokio::spawn(Arc::clone(self).ask_the_rest(run.to_owned(), number));
                }
                Gathering { number, allowance, waiting: Vec::new() }
            });
            request.waiting.push(Waiting { indicator, call: Arc::clone(&call), answer });
            if request.waiting.len() >= self.group { gathering.remove(run) } else { None }
        };
        // A task of its own: a call that was cancelled must not take the others' answer with it.
        if let Some(request) = full {
            tokio::spawn(Arc::clone(self).ask_all(request));
        }
        answered.await.map_err(|_| {
            if call.is_cancelled() {
                NotAsked::Cancelled
            } else {
                "the service ends, and has not asked".into()
            }
        })
    }

    /// Asks about those for whom a full group did not come together in time.
    async fn ask_the_rest(self: Arc<Self>, run: String, number: u64) {
        sleep(GATHER).await;
        let request = {
            let mut gathering = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have become full meanwhile.
            let is_it = gathering.get(&run).is_some_and(|request| request.number == number);
            if is_it { gathering.remove(&run) } else { None }
        };
        if let Some(request) = request {
            self.ask_all(request).await;
        }
    }

    async fn ask_all(self: Arc<Self>, request: Gathering) {
        let Gathering { allowance, waiting: mut group, .. } = request;
        while !group.is_empty() {
            let departure = Departure::of(group.iter().map(|waiting| Arc::clone(&waiting.call)).collect());
            let indicators: Vec<Indicator> = group.iter().map(|waiting| waiting.indicator.clone()).collect();
            let asking = self.asker.ask_within(&indicators, allowance.as_ref());
            if let Some(all) = departure.unless_unwanted(asking).await {
                for (asked, Waiting { answer, .. }) in all.into_iter().zip(group) {
                    // Who asked may be gone: its invocation moved to another process.
                    let _gone = answer.send(asked);
                }
                return;
            }
            group.retain(|waiting| !waiting.call.is_over());
            if !group.is_empty() {
                departure.changed().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Models {
        let access = Access::from_env(Provider::Compatible, |name| {
            name.ends_with("URL").then(|| "http://127.0.0.1:1/v1".to_owned())
        });
        let settings = ModelSettings {
            access: vec![access.unwrap()],
            limits: Limits::default(),
            nodes: vec![Ingress::new("http://127.0.0.1:1").unwrap()],
            prices: Prices::embedded(),
            backoff: Backoff::default(),
            timeouts: Timeouts::within(Duration::from_secs(1)),
            form: None,
        };
        Models::new(settings, Taxonomy::economic().clone())
    }

    #[tokio::test]
    async fn models_that_nobody_asks_any_more_are_given_up() {
        let models = models();
        let desk = |number: usize| {
            let model = Model { provider: Provider::Compatible, name: format!("m{number}") };
            models.desk(&model, NonZeroUsize::MIN, None)
        };
        let kept = desk(0).unwrap();
        for number in 1..=200 {
            desk(1).unwrap();
            desk(number).unwrap();
        }
        let names = |models: &Models| -> Vec<String> {
            models.desks.lock().unwrap().keys().map(|(model, ..)| model.name.clone()).collect()
        };
        let left = names(&models);
        assert_eq!((left.len(), models.limiters.lock().unwrap().len()), (MOST_DESKS, MOST_DESKS));
        assert_eq!(models.clients.lock().unwrap().len(), 1);
        assert!(Arc::ptr_eq(&kept, &desk(0).unwrap()), "somebody waits there");
        assert!(left.contains(&"m1".to_owned()), "it was asked all the time");
        assert!(left.contains(&"m200".to_owned()) && !left.contains(&"m2".to_owned()), "{left:?}");

        let held: Vec<Arc<Desk>> =
            left.iter().filter_map(|name| desk(name[1..].parse().unwrap()).ok()).collect();
        assert_eq!(held.len(), MOST_DESKS);
        assert_eq!(desk(999).unwrap_err(), "the service asks 64 models already");
        drop(held);
        assert!(desk(999).is_ok());
    }
}
