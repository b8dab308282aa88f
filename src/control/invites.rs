//! Invites over the control socket: `invite.create` and `invite.revoke`.
//!
//! Called by `methods.rs`. A code is a key: it is in the answer to `invite.create`, nowhere else.
//! Units: seconds. Errors: [`RpcError`].

use serde::Deserialize;
use serde_json::{Value, json};
use swarmllm_protocol::ids::{InviteId, PoolId};
use swarmllm_protocol::limits::INVITE_USES_MAX;
use swarmllm_protocol::membership::MemberRole;

use super::json_rpc::{INVALID_PARAMS, RpcError};
use super::methods::node_error;
use crate::node::{NewInvite, NodeHandle};

/// An invite is valid for a day unless told otherwise.
const VALID_FOR_S: u64 = 24 * 3600;
/// And for a year at most.
const VALID_FOR_MAX_S: u64 = 366 * 24 * 3600;
/// It admits one node unless told otherwise.
const USES: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateParams {
    valid_for_s: Option<u64>,
    uses: Option<u32>,
    role: Option<String>,
    pool: Option<PoolId>,
}

impl CreateParams {
    fn into_invite(self) -> Result<NewInvite, String> {
        let valid_for_s = self.valid_for_s.unwrap_or(VALID_FOR_S);
        if !(1..=VALID_FOR_MAX_S).contains(&valid_for_s) {
            return Err(format!("valid_for_s must be from 1 to {VALID_FOR_MAX_S}"));
        }
        let uses = self.uses.unwrap_or(USES);
        if uses > INVITE_USES_MAX {
            return Err(format!("uses must be from 0 (as many as come) to {INVITE_USES_MAX}"));
        }
        let role = self.role.as_deref().unwrap_or(MemberRole::Member.word());
        let role = MemberRole::of_word(role).ok_or_else(|| {
            let words = MemberRole::ALL.map(MemberRole::word).join(" or ");
            format!("role is {role:?}, expected {words}")
        })?;
        Ok(NewInvite { valid_for_s, uses, role, pool: self.pool })
    }
}

pub(super) async fn create(node: &NodeHandle, params: CreateParams) -> Result<Value, RpcError> {
    let invite = params.into_invite().map_err(|message| RpcError::new(INVALID_PARAMS, message))?;
    let code = node.create_invite(invite).await.map_err(node_error)?;
    let terms = code.terms();
    Ok(json!({
        "code": code.text().as_str(),
        "valid_for_s": invite.valid_for_s,
        "id": terms.id,
        "uses": invite.uses,
        "role": invite.role.word(),
        "pool": invite.pool,
        "expires_at_unix_s": terms.expires_at_unix_s,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeParams {
    id: InviteId,
    #[serde(default)]
    members: bool,
}

pub(super) async fn revoke(node: &NodeHandle, params: RevokeParams) -> Result<Value, RpcError> {
    node.revoke_invite(params.id, params.members).await.map_err(node_error)?;
    Ok(json!({"revoked": params.id, "members": params.members}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite_of(value: Value) -> Result<NewInvite, String> {
        let params: CreateParams =
            serde_json::from_value(value).map_err(|error| error.to_string())?;
        params.into_invite()
    }

    #[test]
    fn an_invite_admits_one_member_for_a_day_unless_told_otherwise() {
        let invite = invite_of(json!({})).expect("defaults");
        assert_eq!((invite.valid_for_s, invite.uses, invite.pool), (86_400, 1, None));
        assert_eq!(invite.role, MemberRole::Member);
        let invite = invite_of(json!({"uses": 0, "role": "observer"})).expect("valid");
        assert_eq!((invite.uses, invite.role), (0, MemberRole::Observer));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        for (value, said) in [
            (json!({"valid_for_s": 0}), "from 1 to"),
            (json!({"uses": 5000}), "0 (as many as come)"),
            (json!({"role": "king"}), "member or observer"),
            (json!({"pool": "x"}), "32 hexadecimal digits"),
            (json!({"use": 1}), "unknown field"),
        ] {
            let error = invite_of(value).expect_err("refused");
            assert!(error.contains(said), "{error}");
        }
    }
}
