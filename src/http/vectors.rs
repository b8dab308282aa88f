//! What the dialects have in common about embeddings: shorter vectors.
//!
//! Used by `openai/embeddings.rs` and `ollama/embed.rs`. Errors: 400 [`ApiError`].

use super::errors::ApiError;

/// The first so many values of a vector, made length 1 again; all of them when nothing is asked.
///
/// # Errors
/// When the vector has fewer.
pub(super) fn shortened(
    mut vector: Vec<f32>,
    dimensions: Option<usize>,
) -> Result<Vec<f32>, ApiError> {
    let Some(dimensions) = dimensions.filter(|n| *n != vector.len()) else { return Ok(vector) };
    if dimensions > vector.len() {
        let message = format!("this model's vectors have {} dimensions", vector.len());
        return Err(ApiError::invalid(message, Some("dimensions")));
    }
    vector.truncate(dimensions);
    let square: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    // Nothing has no direction.
    if square > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / square.sqrt()) as f32);
    }
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_vector_has_length_one_again() {
        let short = shortened(vec![0.3, 0.4, 0.866], Some(2)).expect("shorter");
        assert!((short[0] - 0.6).abs() < 1e-6 && (short[1] - 0.8).abs() < 1e-6, "{short:?}");
        assert_eq!(shortened(vec![0.0, 1.0], Some(1)).expect("shorter"), [0.0]);
        assert_eq!(shortened(vec![1.0], None).expect("whole"), [1.0]);
        let longer = shortened(vec![1.0], Some(2)).expect_err("longer");
        assert_eq!(longer.param.as_deref(), Some("dimensions"));
    }
}
