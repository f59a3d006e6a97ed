//! Whether a sink is sent anything, whether a stream is read, and from where.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Contradiction, Desk};
use crate::{
    domain::ids::{SinkName, SourceName},
    store::operations::{self, Operated},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    Pause,
    Resume,
}

impl Gate {
    /// The state it leads to.
    fn state(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "active",
        }
    }
}

#[derive(Debug, Serialize)]
pub struct SinkState {
    pub sink: SinkName,
    pub state: &'static str,
}

pub async fn sink(desk: Desk<'_>, name: &SinkName, gate: Gate) -> Operated<SinkState> {
    match gate {
        Gate::Pause => operations::pause_sink(desk.pool, name, desk.by, desk.offset_ms).await?,
        Gate::Resume => operations::resume_sink(desk.pool, name, desk.by, desk.offset_ms).await?,
    }
    Ok(SinkState { sink: name.clone(), state: gate.state() })
}

#[derive(Debug, Serialize)]
pub struct SourceState {
    pub source: SourceName,
    pub state: &'static str,
}

pub async fn source(desk: Desk<'_>, name: &SourceName, gate: Gate) -> Operated<SourceState> {
    match gate {
        Gate::Pause => operations::pause_source(desk.pool, name, desk.by, desk.offset_ms).await?,
        Gate::Resume => operations::resume_source(desk.pool, name, desk.by, desk.offset_ms).await?,
    }
    Ok(SourceState { source: name.clone(), state: gate.state() })
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawRewind")]
pub struct Rewind {
    /// None: the oldest version that the platform still has.
    pub to: Option<DateTime<Utc>>,
    /// Without it, only what would be read again is told.
    pub yes: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRewind {
    to: Option<DateTime<Utc>>,
    #[serde(default)]
    to_beginning: bool,
    #[serde(default)]
    yes: bool,
}

impl TryFrom<RawRewind> for Rewind {
    type Error = Contradiction;
    fn try_from(raw: RawRewind) -> Result<Self, Contradiction> {
        if raw.to.is_some() == raw.to_beginning {
            return Err(Contradiction("say either `to` (an instant) or `to_beginning`: true"));
        }
        Ok(Self { to: raw.to, yes: raw.yes })
    }
}

#[derive(Debug, Serialize)]
pub struct Rewound {
    pub source: SourceName,
    pub to: Option<DateTime<Utc>>,
    /// Versions that come again and are dropped as known.
    pub stored_versions_since: i64,
    /// False: consent is missing, and nothing was changed.
    pub rewound: bool,
}

/// Gives the cursor up, if there is consent.
pub async fn rewind(desk: Desk<'_>, name: &SourceName, rewind: &Rewind) -> Operated<Rewound> {
    let stored_versions_since = operations::versions_since(desk.pool, name, rewind.to).await?;
    if rewind.yes {
        operations::rewind(desk.pool, name, rewind.to, desk.by, desk.offset_ms).await?;
    }
    Ok(Rewound { source: name.clone(), to: rewind.to, stored_versions_since, rewound: rewind.yes })
}
