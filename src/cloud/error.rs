//! Why a provider in the cloud did not answer.
//!
//! Made all over this folder; `node/fallback.rs` turns it into what a door sees. No text here holds
//! a key: what providers say passes through `ApiKey::removed_from` first.

use super::key::KeyError;
use crate::generate::{ErrorKind, GenerateError};

/// Why a provider did not answer.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// Nobody gave a key.
    #[error(
        "there is no key for {provider}; give one with `swarmllm cloud key set {provider}` or in \
         {variable}"
    )]
    NoKey {
        /// Id of the provider.
        provider: String,
        /// The variable that is looked at.
        variable: String,
    },
    /// There is one that can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request can't be put in the provider's words.
    #[error("{provider} can't be asked this: {reason}")]
    NotForCloud {
        /// Id of the provider.
        provider: String,
        /// What can't.
        reason: &'static str,
    },
    /// This node has no place for another answer.
    #[error("this node has too many answers under way; try again in a moment")]
    NodeBusy,
    /// It failed again and again and is left alone.
    #[error("{provider} failed repeatedly and is left alone for {retry_after_s} s more")]
    LeftAlone {
        /// Id of the provider.
        provider: String,
        /// How long.
        retry_after_s: u32,
    },
    /// It answered with an error.
    #[error("{provider} answered {status}: {message}")]
    Refused {
        /// Id of the provider.
        provider: String,
        /// HTTP status; 0 inside a stream.
        status: u16,
        /// What it said.
        message: String,
        /// When it wants to be asked again.
        retry_after_ms: Option<u64>,
    },
    /// No connection, or it broke.
    #[error("{provider} can't be reached: {cause}")]
    Unreachable {
        /// Id of the provider.
        provider: String,
        /// What the network said.
        cause: String,
    },
    /// Nothing came any more.
    #[error("{provider} was silent for {idle_s} s")]
    Silent {
        /// Id of the provider.
        provider: String,
        /// How long it was waited for.
        idle_s: u64,
    },
    /// The stream ended before the answer.
    #[error("{provider} ended its stream before the end of the answer")]
    Cut {
        /// Id of the provider.
        provider: String,
    },
    /// What came can't be read.
    #[error("{provider} sent what can't be read: {reason}")]
    Garbage {
        /// Id of the provider.
        provider: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The requester's time is over.
    #[error("the time for this answer is over")]
    DeadlinePassed,
}

impl CloudError {
    /// Whether the provider is to blame, and should be left alone if it goes on.
    pub(super) fn is_providers(&self) -> bool {
        match self {
            CloudError::Refused { status, .. } => {
                super::retry::is_passing(*status) || [0, 401, 403].contains(status)
            }
            CloudError::Unreachable { .. }
            | CloudError::Silent { .. }
            | CloudError::Cut { .. }
            | CloudError::Garbage { .. } => true,
            CloudError::NoKey { .. }
            | CloudError::Key(_)
            | CloudError::NotForCloud { .. }
            | CloudError::NodeBusy
            | CloudError::LeftAlone { .. }
            | CloudError::DeadlinePassed => false,
        }
    }

    /// Whether another attempt may help, before anything of the answer was seen.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            CloudError::Refused { status, .. } => super::retry::is_passing(*status),
            CloudError::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// When the provider wants to be asked again.
    pub(super) fn retry_after_ms(&self) -> Option<u64> {
        match self {
            CloudError::Refused { retry_after_ms, .. } => *retry_after_ms,
            CloudError::LeftAlone { retry_after_s, .. } => Some(u64::from(*retry_after_s) * 1000),
            _ => None,
        }
    }

    /// As a door sees it, for a request that named the provider itself.
    pub fn to_generate_error(&self) -> GenerateError {
        let kind = match self {
            CloudError::NoKey { .. } => ErrorKind::ModelNotFound,
            CloudError::NotForCloud { .. } => ErrorKind::Invalid,
            CloudError::DeadlinePassed => ErrorKind::DeadlinePassed,
            CloudError::NodeBusy | CloudError::Refused { status: 429, .. } => ErrorKind::Busy,
            CloudError::Refused { status: 404, .. } => ErrorKind::ModelNotFound,
            CloudError::Refused { status: 400 | 413 | 422, .. } => ErrorKind::Invalid,
            CloudError::Silent { .. } | CloudError::Cut { .. } | CloudError::Garbage { .. } => {
                ErrorKind::StageLost
            }
            _ => ErrorKind::NoRoute,
        };
        let seconds = |ms: u64| u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        let retry_after_s = self.retry_after_ms().map(seconds);
        GenerateError { kind, message: self.to_string(), retry_after_s }
    }
}
