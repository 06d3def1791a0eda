// The table of one instruction set, filled from what each kernel file provides.
#include "cpu/kernels/table.hpp"

#include "cpu/kernels/providers.hpp"

namespace convoy::cpu::CONVOY_ISA {

void fill_table(KernelTable* table);

void fill_table(KernelTable* table) {
  table->epilogue = epilogue_kernels();
  table->pool = pool_kernels();
  table->dropout = dropout_kernels();
  table->input = input_kernels();
  table->arena = arena_kernels();
  table->update = update_kernels();
}

}  // namespace convoy::cpu::CONVOY_ISA
