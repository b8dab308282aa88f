//! Plain mixture of experts: the router's logits come to the host, which chooses experts as
//! `kernel::cpu::routing` says; each expert runs once, on the rows that chose it.
//!
//! Called by `blocks`.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::{PlainNorm, PlainUnit, linear, round, weight};
use crate::{
    backend::{
        BlockError,
        parts::{ExpertParts, MixtureParts},
    },
    gguf::Gguf,
    kernel::cpu::routing::Routing,
};

#[derive(Debug)]
struct PlainExpert {
    unit: PlainUnit,
    down: Tensor<2>,
}

impl PlainExpert {
    fn load(gguf: &Gguf, parts: &ExpertParts, device: &Device) -> Result<Self, BlockError> {
        let unit = PlainUnit::load(gguf, &parts.unit, device)?;
        Ok(Self { unit, down: weight(gguf, &parts.down, device)? })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        linear(self.unit.forward(x), &self.down)
    }
}

/// Pre-norm mixture of experts.
#[derive(Debug)]
pub struct PlainMixture {
    norm: PlainNorm,
    router: Tensor<2>,
    routing: Routing,
    experts: Vec<PlainExpert>,
    shared: Option<(PlainExpert, Option<Tensor<2>>)>,
    post_norm: Option<PlainNorm>,
    device: Device,
}

impl PlainMixture {
    pub(in crate::backend) fn load(
        gguf: &Gguf,
        parts: MixtureParts,
        device: &Device,
    ) -> Result<Self, BlockError> {
        let experts: Result<_, _> =
            parts.experts.iter().map(|expert| PlainExpert::load(gguf, expert, device)).collect();
        let shared = parts.shared.map(|(expert, gate)| -> Result<_, BlockError> {
            let gate = gate.map(|gate| weight(gguf, &gate, device)).transpose()?;
            Ok((PlainExpert::load(gguf, &expert, device)?, gate))
        });
        Ok(Self {
            norm: PlainNorm::new(&parts.norm, device),
            router: weight(gguf, &parts.router, device)?,
            routing: parts.routing,
            experts: experts?,
            shared: shared.transpose()?,
            post_norm: parts.post_norm.as_ref().map(|norm| PlainNorm::new(norm, device)),
            device: device.clone(),
        })
    }

    pub(in crate::backend) fn forward(&self, x: Tensor<2>, rounded: bool) -> Tensor<2> {
        let normed = self.norm.forward(x.clone());
        let n_experts = self.experts.len();
        let logits = linear(normed.clone(), &self.router).into_data();
        let logits = logits.try_to_vec::<f32>().expect("logits are f32");
        let choices: Vec<_> =
            logits.chunks_exact(n_experts).map(|row| self.routing.choose(row)).collect();
        let mut sum = normed.zeros_like();
        for (index, expert) in self.experts.iter().enumerate() {
            let (mut rows, mut weights) = (Vec::new(), Vec::new());
            for (row, choice) in choices.iter().enumerate() {
                for (_, weight) in choice.iter().filter(|(expert, _)| *expert == index) {
                    rows.push(row as i32);
                    weights.push(*weight);
                }
            }
            if rows.is_empty() {
                continue;
            }
            let n = rows.len();
            let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [n]), &self.device);
            let weights = TensorData::new(weights, [n, 1]);
            let weights = Tensor::<2>::from_data(weights, &self.device);
            let values = expert.forward(normed.clone().select(0, rows.clone())) * weights;
            sum = sum.select_assign(0, rows, values, IndexingUpdateOp::Add);
        }
        if let Some((expert, gate)) = &self.shared {
            let values = expert.forward(normed.clone());
            sum = sum
                + match gate {
                    Some(gate) => values * burn::tensor::activation::sigmoid(linear(normed, gate)),
                    None => values,
                };
        }
        let sum = self.post_norm.as_ref().map_or(sum.clone(), |norm| norm.forward(sum));
        let x = x + sum;
        if rounded { round(x, &self.device) } else { x }
    }
}
