//! In which form a server is asked for answers. Which forms it understands it is asked once, before the first request; a
//! server that refuses one gets a simpler one.

use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Provider;
use super::client::Client;
use super::form::Form;

/// Who a model belongs to by its server's own list of models, where the server decodes under a schema with bounds:
/// llama.cpp, vLLM, Ollama.
const BOUNDED: [&str; 3] = ["llamacpp", "vllm", "library"];

/// What one server takes, as far as it is known.
#[derive(Debug)]
pub(super) struct Forms {
    named: Option<Form>,
    asks: bool,
    found: OnceCell<Form>,
    /// The simplest one it came to.
    simplest: Mutex<Option<Form>>,
}

impl Forms {
    /// For a model of `provider`. A form that is `named` is not departed from.
    pub(super) fn new(provider: Provider, named: Option<Form>) -> Self {
        let asks = provider == Provider::Compatible;
        Self { named: named.filter(|_| asks), asks, found: OnceCell::new(), simplest: Mutex::default() }
    }

    /// The form to ask in.
    pub(super) async fn at_first(&self, client: &Client) -> Form {
        if let Some(form) = self.named.or_else(|| self.simplest()) {
            return form;
        }
        if !self.asks {
            return Form::Strict;
        }
        let ask = || async {
            match client.owner_of_models().await {
                Some(owner) if BOUNDED.contains(&owner.as_str()) => Form::Bounded,
                _ => Form::Strict,
            }
        };
        *self.found.get_or_init(ask).await
    }

    /// The form to ask in when `refused` was refused.
    pub(super) fn simpler_than(&self, refused: Form) -> Option<Form> {
        let simpler = refused.simpler().filter(|_| self.asks && self.named.is_none())?;
        let mut simplest = self.simplest.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may have come further meanwhile.
        if simplest.is_none_or(|known| known == refused) {
            *simplest = Some(simpler);
        }
        Some(simpler)
    }

    fn simplest(&self) -> Option<Form> {
        *self.simplest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
