//! Small random models of state-space blocks (Mamba 1 and 2), for the tests to change and run.

use swarmllm_models::gguf::{GgufWriter, MetadataValue, TensorType};

use super::{Random, weights};

/// Number of layers.
pub const N_LAYERS: u32 = 3;
/// Number of tokens.
pub const VOCAB: usize = 61;
/// Under the root of the norms; large, so that it shows in every logit.
const EPSILON: f32 = 1e-3;

/// The sizes of a random model.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub architecture: &'static str,
    pub kind: TensorType,
    pub hidden: usize,
    pub inner: usize,
    pub state: usize,
    /// Of Mamba 2: heads.
    pub rank: usize,
    pub n_groups: usize,
    pub kernel: usize,
    pub normalised: bool,
}

/// Whole vectors and quantised, then sizes that nothing divides.
pub fn all_sizes() -> [Sizes; 5] {
    let even = Sizes {
        architecture: "mamba",
        kind: TensorType::Q8_0,
        hidden: 64,
        inner: 128,
        state: 16,
        rank: 4,
        n_groups: 1,
        kernel: 4,
        normalised: false,
    };
    let odd = Sizes { kind: TensorType::F16, hidden: 36, inner: 72, state: 5, rank: 3, ..even };
    let second = Sizes { architecture: "mamba2", rank: 8, n_groups: 2, ..even };
    let odd_second = Sizes { rank: 6, n_groups: 3, kernel: 2, ..second };
    let odd_second = Sizes { kind: odd.kind, hidden: 40, inner: 72, state: 7, ..odd_second };
    [even, odd, Sizes { normalised: true, kernel: 3, ..odd }, second, odd_second]
}

/// Name, sizes, format, bytes.
pub type TensorDraft = (String, Vec<u64>, TensorType, Vec<u8>);

/// A file before it is written, to be changed by tests.
pub struct Draft {
    pub keys: Vec<(String, MetadataValue)>,
    pub tensors: Vec<TensorDraft>,
}

impl Draft {
    /// With every key and tensor.
    pub fn new(sizes: Sizes) -> Self {
        let mut draft = Self { keys: keys(sizes), tensors: Vec::new() };
        let Sizes { hidden, inner, state, rank, n_groups, kernel, .. } = sizes;
        let is_second = sizes.architecture == "mamba2";
        let n_channels = if is_second { inner + 2 * n_groups * state } else { inner };
        let n_heads = if is_second { rank } else { inner };
        let n_decays = if is_second { 1 } else { state };
        let mut random = Random(sizes.inner as u64 + 3);
        let mut matrix = |name: &str, k: usize, n: usize, kind: TensorType, scale: f32| {
            let bytes = weights(kind, k * n, scale, &mut random);
            draft.tensors.push((name.into(), vec![k as u64, n as u64], kind, bytes));
        };
        matrix("token_embd.weight", hidden, VOCAB, sizes.kind, 1.0);
        for layer in 0..N_LAYERS {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            let input = if is_second { inner + n_channels + rank } else { 2 * inner };
            matrix(&name("ssm_in"), hidden, input, sizes.kind, 0.3);
            matrix(&name("ssm_out"), inner, hidden, sizes.kind, 0.2);
            matrix(&name("ssm_conv1d"), kernel, n_channels, TensorType::F32, 0.8);
            if !is_second {
                matrix(&name("ssm_x"), inner, rank + 2 * state, sizes.kind, 0.3);
                matrix(&name("ssm_dt"), rank, inner, TensorType::F16, 0.5);
            }
        }
        let mut vector = |name: String, dims: &[usize], middle: f32, spread: f32| {
            let n = dims.iter().product();
            let values = (0..n).flat_map(|_| (middle + spread * random.float()).to_le_bytes());
            let dims = dims.iter().map(|d| *d as u64).collect();
            draft.tensors.push((name, dims, TensorType::F32, values.collect()));
        };
        for layer in 0..N_LAYERS {
            let name = |part: &str| format!("blk.{layer}.{part}");
            vector(name("attn_norm.weight"), &[hidden], 1.0, 0.2);
            vector(name("ssm_conv1d.bias"), &[n_channels], 0.0, 0.3);
            vector(name("ssm_dt.bias"), &[n_heads], -2.0, 1.5);
            vector(name("ssm_a"), &[n_decays, n_heads], -1.0, 0.9);
            let skips = [1, n_heads];
            vector(name("ssm_d"), &skips[usize::from(!is_second)..], 0.5, 0.5);
            if is_second {
                vector(name("ssm_norm.weight"), &[inner / n_groups, n_groups], 1.0, 0.2);
            }
        }
        vector("output_norm.weight".into(), &[hidden], 1.0, 0.2);
        draft
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = GgufWriter::new();
        for (key, value) in &self.keys {
            writer.key(key, value.clone());
        }
        for (name, dims, kind, bytes) in &self.tensors {
            writer.tensor(name, dims, *kind, bytes.clone());
        }
        writer.finish()
    }
}

fn keys(sizes: Sizes) -> Vec<(String, MetadataValue)> {
    let mut keys = vec![
        ("general.architecture".into(), MetadataValue::String(sizes.architecture.into())),
        // Other engines do not open a file that says nothing about its tokenizer.
        ("tokenizer.ggml.model".into(), MetadataValue::String("none".into())),
    ];
    let mut key = |name: &str, value| keys.push((format!("{}.{name}", sizes.architecture), value));
    let numbers = [
        ("block_count", N_LAYERS as usize),
        ("context_length", 512),
        ("vocab_size", VOCAB),
        ("embedding_length", sizes.hidden),
        ("feed_forward_length", 0),
        ("attention.head_count", 0),
        ("ssm.conv_kernel", sizes.kernel),
        ("ssm.inner_size", sizes.inner),
        ("ssm.state_size", sizes.state),
        ("ssm.time_step_rank", sizes.rank),
        ("ssm.group_count", sizes.n_groups),
    ];
    for (name, number) in numbers {
        key(name, MetadataValue::U32(number as u32));
    }
    key("attention.layer_norm_rms_epsilon", MetadataValue::F32(EPSILON));
    key("ssm.dt_b_c_rms", MetadataValue::Bool(sizes.normalised));
    keys
}
