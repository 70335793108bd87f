//! What HTTP says where something is not done.

use hyper::StatusCode;
use ward_build::api::Refusal;

use crate::builds::says;
use crate::http::Reply;

/// Why something is not done.
pub(crate) fn refused(refusal: &Refusal) -> Reply {
    let status = match refusal {
        Refusal::NoSuchJob(_) | Refusal::NoSuchBuild { .. } | Refusal::Nothing(_) => {
            StatusCode::NOT_FOUND
        }
        Refusal::BadName(_) | Refusal::Exists(_) | Refusal::BadInput(_) => StatusCode::BAD_REQUEST,
        Refusal::Conflict(_) => StatusCode::CONFLICT,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    says(status, &refusal.to_string())
}
