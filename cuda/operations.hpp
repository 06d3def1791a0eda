// The factories of the CUDA backend's operations, one file each. They plan for one batch size and mode.
// Activations lie [N,H,W,C] without padding, in the compute type.
#pragma once

#include <memory>

#include "context.hpp"
#include "convoy/operation.hpp"
#include "convoy/update.hpp"

namespace convoy::cuda {

std::unique_ptr<Operation> plan_convolution(const ConvSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_dense(const DenseSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_epilogue(const EpilogueSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_pool(const PoolSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_dropout(const DropoutSpec&, int batch, Mode, const Context&);

std::unique_ptr<Update> plan_sgd(const SgdSpec&, const Context&);
std::unique_ptr<Update> plan_adam(const AdamSpec&, const Context&);
std::unique_ptr<Update> plan_muon(const MuonSpec&, const Context&);

}  // namespace convoy::cuda
