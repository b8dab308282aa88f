//! The two engines: a set of equal matrices each, and products of one of them with the input rows.
//!
//! Called by `main`. Shapes: weights `[n, k]` in the file's blocks, input `[rows, k]`, output
//! `[rows, n]`. Ours: as the model runs them, repacked when loaded, at the best SIMD level.
//!
//! candle (from the source of candle-core 0.11.1):
//!
//! - `QMatMul::forward` with f32 input asks `quantized/repack.rs` first. On x86-64 that is no
//!   feature of the crate but decided at run time (`repack_x86.rs`, `select` and `level`): AVX-512
//!   VNNI, AVX-VNNI or AVX2, when n is a multiple of 16 and k of 256. The first product copies the
//!   weights into tiles of 16 rows; the file's bytes stay in memory beside them.
//! - Repacked are Q4_K (always; 0.75 bytes a weight instead of 0.56, the scales become f32), Q8_0
//!   (with VNNI), and Q6_K (1.25 bytes instead of 0.82) for two rows and more. From 32 rows on,
//!   Q4_K goes to AMX tiles where the CPU has them. Inputs are quantised to 8 bits per 256 values,
//!   for Q8_0 too.
//! - Everything else takes `k_quants::matmul`, a dot product per weight row and input row. Whether
//!   that is vectorised is decided at run time for Q4_0, Q2_K, Q3_K, Q5_K and Q6_K (AVX2, no
//!   AVX-512); Q4_1, Q5_0 and Q5_1 have no vector code and are as fast as the compiler makes them.
//! - F32, F16 and BF16: `QMatMul` turns the weights into an f32 tensor and uses the `gemm` crate;
//!   `QTensor` itself reads them as they are. The faster of the two is measured.
//! - There are no IQ formats. Q8_1 and Q8_K exist for inputs.
//! - Threads: the repacked kernels and the dot products use candle's own pool, of
//!   `CANDLE_NUM_THREADS`; `gemm` uses rayon's, of `RAYON_NUM_THREADS`.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Module, Tensor};
use swarmllm_models::SimdLevel;
use swarmllm_models::gguf::{Gguf, GgufWriter, Source, TensorType};
use swarmllm_models::kernel::cpu::activation::Activations;
use swarmllm_models::kernel::cpu::linear::{self, Repack, Weight};
use swarmllm_models::kernel::cpu::network::CpuContext;
use swarmllm_models::kernel::cpu::schedule::Store;
use swarmllm_models::kernel::cpu::{Level, Pool};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Calls that say which of candle's ways is the faster one.
const TRIAL_CALLS: usize = 3;

/// A weight as in a file.
pub(crate) struct Matrix {
    pub(crate) kind: TensorType,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) bytes: Vec<u8>,
}

/// What is measured.
pub(crate) trait Engine {
    /// One product with matrix `at`, counted round the set.
    fn call(&mut self, at: usize) -> Result<(), Failure>;
}

pub(crate) struct Ours {
    context: CpuContext,
    weights: Vec<Weight>,
    x: Vec<f32>,
    rows: Activations,
    out: Vec<f32>,
}

impl Ours {
    pub(crate) fn new(matrix: &Matrix, count: usize, threads: usize) -> Result<Self, Failure> {
        let mut writer = GgufWriter::new();
        let dims = [matrix.k as u64, matrix.n as u64];
        writer.tensor("w", &dims, matrix.kind, matrix.bytes.clone());
        let gguf = Gguf::read(Source::from_vec(writer.finish()))?;
        let info = gguf.tensor("w").ok_or("no tensor")?;
        let level = Level::resolve(SimdLevel::Auto)?;
        let context = CpuContext::new(level, Pool::new(threads)?, Repack::Always);
        let weights = (0..count).map(|_| context.weight(&gguf, info)).collect::<Result<_, _>>()?;
        let rows = Activations::default();
        Ok(Self { context, weights, x: Vec::new(), rows, out: Vec::new() })
    }

    pub(crate) fn set_input(&mut self, x: &[f32]) -> Result<(), Failure> {
        self.x = x.to_vec();
        self.out = vec![0.0; x.len() / self.weights[0].k() * self.weights[0].n()];
        Ok(())
    }

    pub(crate) fn multiply(&mut self, at: usize) -> Result<Vec<f32>, Failure> {
        self.call(at)?;
        Ok(self.out.clone())
    }
}

impl Engine for Ours {
    fn call(&mut self, at: usize) -> Result<(), Failure> {
        let weight = std::slice::from_ref(&self.weights[at % self.weights.len()]);
        let (n, k, kind) = (weight[0].n(), weight[0].k(), weight[0].activation());
        let CpuContext { level, pool, .. } = &self.context;
        self.rows.fill(&[kind], (&self.x, k), (*level, pool));
        linear::multiply(weight, &self.rows, (&mut self.out, n), Store::Set, pool);
        black_box(&self.out);
        Ok(())
    }
}

pub(crate) struct Candle {
    kind: GgmlDType,
    stored: Vec<Arc<QTensor>>,
    products: Vec<QMatMul>,
    input: Tensor,
    is_stored_faster: bool,
}

/// Says how many threads candle uses; to be called before any other thread runs.
pub(crate) fn set_candle_threads(threads: usize) {
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: no other thread runs yet; candle reads them when its pools start.
        unsafe { std::env::set_var(variable, threads.to_string()) };
    }
}

fn candle_kind(kind: TensorType) -> Option<GgmlDType> {
    Some(match kind.name() {
        "F32" => GgmlDType::F32,
        "F16" => GgmlDType::F16,
        "BF16" => GgmlDType::BF16,
        "Q8_0" => GgmlDType::Q8_0,
        "Q4_0" => GgmlDType::Q4_0,
        "Q4_1" => GgmlDType::Q4_1,
        "Q5_0" => GgmlDType::Q5_0,
        "Q5_1" => GgmlDType::Q5_1,
        "Q2_K" => GgmlDType::Q2K,
        "Q3_K" => GgmlDType::Q3K,
        "Q4_K" => GgmlDType::Q4K,
        "Q5_K" => GgmlDType::Q5K,
        "Q6_K" => GgmlDType::Q6K,
        _ => return None,
    })
}

impl Candle {
    /// None when candle lacks the format.
    pub(crate) fn new(matrix: &Matrix, count: usize) -> Result<Option<Self>, Failure> {
        let Some(kind) = candle_kind(matrix.kind) else { return Ok(None) };
        let stored = |_| {
            let bytes = Cow::Borrowed(&matrix.bytes[..]);
            let storage = QStorage::from_data(bytes, &Device::Cpu, kind)?;
            QTensor::new(storage, (matrix.n, matrix.k)).map(Arc::new)
        };
        let stored: Vec<_> = (0..count).map(stored).collect::<Result<_, _>>()?;
        let products = stored.iter().cloned().map(QMatMul::from_arc).collect::<Result<_, _>>()?;
        let input = Tensor::zeros((1, matrix.k), candle_core::DType::F32, &Device::Cpu)?;
        Ok(Some(Self { kind, stored, products, input, is_stored_faster: false }))
    }

    fn is_float(&self) -> bool {
        matches!(self.kind, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16)
    }

    /// Sets the input rows and chooses the faster way for them.
    pub(crate) fn set_input(&mut self, x: &[f32]) -> Result<(), Failure> {
        let k = self.input.dim(1)?;
        self.input = Tensor::from_slice(x, (x.len() / k, k), &Device::Cpu)?;
        self.is_stored_faster = false;
        if self.is_float() {
            let [copied, stored] = [false, true].map(|is_stored| {
                self.is_stored_faster = is_stored;
                let mut seconds = Vec::new();
                for at in 0..=TRIAL_CALLS {
                    let began = Instant::now();
                    self.call(at)?;
                    seconds.push(began.elapsed());
                }
                Ok::<_, Failure>(seconds[1..].iter().min().copied())
            });
            self.is_stored_faster = stored? < copied?;
        }
        Ok(())
    }

    fn product(&self, at: usize) -> candle_core::Result<Tensor> {
        let at = at % self.stored.len();
        if self.is_stored_faster {
            self.input.apply_op1_no_bwd(self.stored[at].as_ref())
        } else {
            self.products[at].forward(&self.input)
        }
    }

    pub(crate) fn multiply(&mut self, at: usize) -> Result<Vec<f32>, Failure> {
        Ok(self.product(at)?.flatten_all()?.to_vec1()?)
    }

    /// What candle does with the format and input on this machine, as it decides itself.
    pub(crate) fn path(&self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        {
            let wide =
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
            let repacked = match self.kind {
                GgmlDType::Q4K => true,
                GgmlDType::Q6K => self.input.dims()[0] > 1,
                GgmlDType::Q8_0 => wide || is_x86_feature_detected!("avxvnni"),
                _ => false,
            };
            if repacked && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return "repacked";
            }
        }
        if self.is_float() && !self.is_stored_faster {
            "gemm of an f32 copy"
        } else {
            "dot products"
        }
    }
}

impl Engine for Candle {
    fn call(&mut self, at: usize) -> Result<(), Failure> {
        black_box(self.product(at)?);
        Ok(())
    }
}
