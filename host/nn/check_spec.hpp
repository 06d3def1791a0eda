// What every backend refuses to plan: specs that make no sense. Each throws Error, naming the operation and what is
// wrong, so that all backends refuse alike.
#pragma once

#include "convoy/backend.hpp"
#include "convoy/operation.hpp"
#include "convoy/update.hpp"

namespace convoy {

void check(const ConvSpec&, int batch);
void check(const DenseSpec&, int batch, DType compute);
void check(const EpilogueSpec&, int batch);
void check(const PoolSpec&, int batch);
void check(const DropoutSpec&, int batch);
void check(const MuonSpec&);
void check(const InputArgs&);

}  // namespace convoy
