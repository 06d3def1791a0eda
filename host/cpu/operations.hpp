// The factories of the CPU backend's operations, one file each. They plan for one batch size and mode.
#pragma once

#include <memory>

#include "convoy/operation.hpp"
#include "convoy/update.hpp"
#include "cpu/context.hpp"

namespace convoy::cpu {

std::unique_ptr<Operation> plan_convolution(const ConvSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_dense(const DenseSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_epilogue(const EpilogueSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_pool(const PoolSpec&, int batch, Mode, const Context&);
std::unique_ptr<Operation> plan_dropout(const DropoutSpec&, int batch, Mode, const Context&);

std::unique_ptr<Update> plan_sgd(const SgdSpec&, const Context&);
std::unique_ptr<Update> plan_adam(const AdamSpec&, const Context&);
std::unique_ptr<Update> plan_muon(const MuonSpec&, const Context&);

}  // namespace convoy::cpu
