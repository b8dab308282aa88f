//! Opens the device that the caller names.
//!
//! Called by `shard`. A device that the build lacks or the machine does not have is a clear error:
//! CUDA is looked for with the system's loader first, because burn panics on a background thread
//! without it. Errors: [`DeviceError`].

use std::str::FromStr;

use burn::tensor::Device;

/// Where a shard computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor, canonical arithmetic.
    #[default]
    Cpu,
    /// A CUDA device by number.
    Cuda(usize),
    /// A GPU through WebGPU.
    Wgpu,
    /// A GPU through Vulkan.
    Vulkan,
}

/// The device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not compiled in.
    #[error("this build has no {device}; build with --features {feature}, or use the device cpu")]
    NotBuilt {
        /// The device.
        device: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// The machine lacks it.
    #[error("{device} is not available: {why}; use the device cpu")]
    Unavailable {
        /// The device.
        device: String,
        /// What was found.
        why: String,
    },
    /// The name means nothing.
    #[error("{0:?} is no device: use cpu, cuda, cuda:N, wgpu or vulkan")]
    Unknown(String),
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "wgpu" => Ok(Self::Wgpu),
            "vulkan" => Ok(Self::Vulkan),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown(text.into())),
        }
    }
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu => f.write_str("wgpu"),
            Self::Vulkan => f.write_str("vulkan"),
        }
    }
}

/// Opens a device.
pub(super) fn open(choice: DeviceChoice) -> Result<Device, DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::flex()),
        DeviceChoice::Cuda(index) => cuda(index),
        DeviceChoice::Wgpu => wgpu(),
        DeviceChoice::Vulkan => vulkan(),
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device, DeviceError> {
    for name in ["libcuda.so.1", "libnvrtc.so"] {
        // SAFETY: loading NVIDIA's driver and compiler runs only their own initialisers, which
        // burn would run anyway.
        if let Err(error) = unsafe { libloading::Library::new(name) } {
            let device = DeviceChoice::Cuda(index).to_string();
            return Err(DeviceError::Unavailable { device, why: error.to_string() });
        }
    }
    Ok(Device::cuda(burn_cuda::CudaDevice::new(index).index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: "CUDA", feature: "cuda" })
}

/// Runs the first contact with a GPU API, which panics where there is none.
#[cfg(any(feature = "wgpu", feature = "vulkan"))]
fn guarded(choice: DeviceChoice, open: fn() -> Device) -> Result<Device, DeviceError> {
    let unavailable =
        |why: &str| DeviceError::Unavailable { device: choice.to_string(), why: why.into() };
    let opened = std::panic::catch_unwind(|| {
        let device = open();
        device.sync().map(|()| device).map_err(|error| error.to_string())
    });
    match opened {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(unavailable(&error)),
        Err(_) => Err(unavailable("no adapter answered")),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, DeviceError> {
    guarded(DeviceChoice::Wgpu, || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: "WebGPU", feature: "wgpu" })
}

#[cfg(feature = "vulkan")]
fn vulkan() -> Result<Device, DeviceError> {
    guarded(DeviceChoice::Vulkan, || Device::vulkan(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: "Vulkan", feature: "vulkan" })
}
