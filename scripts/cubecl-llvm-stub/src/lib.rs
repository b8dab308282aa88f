//! The names of cubecl-llvm that cubecl-cuda needs to compile, without LLVM behind them.
//!
//! Used by no code of ours; cargo puts it in the place of the published crate. Every kernel that
//! is sent this way fails to compile with a message; none is, because the build selects the CUDA
//! C++ compiler. Absent on purpose: everything else of that crate.

use std::fmt;

use cubecl_core::{
    ir::{DeviceProperties, nvidia::SmArch},
    prelude::KernelDefinition,
};
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::{
    compiler::{CompilationError, Compiler},
    kernel::BufferIOAttr,
};

/// What the NVIDIA target would be.
pub mod nvptx {
    /// Versions of the intermediate language.
    pub mod ptx_version {
        /// A version; there is none.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// The newest version of a driver: never one.
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl std::fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {}
            }
        }
    }
}

/// What all targets would share.
pub mod shared {
    /// Features that a target lacks.
    pub mod lowered_features {
        use super::super::DeviceProperties;

        /// A target.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Would take features away; the CUDA C++ compiler has them all.
        pub fn restrict_features(_: &mut DeviceProperties, _: GpuTarget) {}
    }
}

/// Where code would be generated for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LlvmTarget {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA.
    Nvptx,
}

/// The compiler that always fails.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// Never read.
    pub target: LlvmTarget,
}

/// Its options.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Never read.
    pub arch: Option<()>,
    /// Never read.
    pub sm_arch: Option<SmArch>,
    /// Never read.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Never read.
    pub grid_constants: bool,
    /// Keeps the struct open, as the published one is.
    pub rest: (),
}

/// What a kernel would become.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// Code.
    pub ptx: Vec<core::ffi::c_char>,
    /// Name of the kernel in it.
    pub entrypoint: String,
    /// Readable form.
    pub ir: String,
    /// Bytes of shared memory.
    pub shared_memory_size: usize,
    /// What happens to the buffers.
    pub io: Vec<BufferIOAttr>,
}

/// The result that is never made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// For NVIDIA.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NvptxCode(module) = self;
        f.write_str(&module.ir)
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _: KernelDefinition,
        _: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        let reason = "this build has no LLVM: select the CUDA C++ compiler (cubecl/cuda-cpp)";
        let backtrace = BackTrace::capture();
        Err(CompilationError::Generic { reason: reason.into(), backtrace })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}
