// A backend of which a test overrides what it wants called; every other call is an error.
#pragma once

#include <memory>
#include <stdexcept>

#include "convoy/backend.hpp"

namespace convoy::test {

class StubBackend : public Backend {
 public:
  const DeviceInfo& info() const override { unexpected("info"); }
  DType compute_type() const override { return DType::f32; }
  Arena allocate(std::size_t, std::string_view, Communicated) override { unexpected("allocate"); }
  Arena share(const void*, std::size_t, std::string_view) override { unexpected("share"); }
  std::size_t allocated_bytes() const override { unexpected("allocated_bytes"); }
  std::size_t peak_allocated_bytes() const override { unexpected("peak_allocated_bytes"); }
  std::size_t free_bytes() const override { unexpected("free_bytes"); }
  std::unique_ptr<Stager> make_stager(int, std::size_t, std::string_view) override { unexpected("make_stager"); }
  std::unique_ptr<Operation> plan(const OperationSpec&, int, Mode) override { unexpected("plan"); }
  std::unique_ptr<Update> plan(const UpdateSpec&) override { unexpected("plan"); }
  std::unique_ptr<Recording> record(StepKind, const std::function<void()>&) override { unexpected("record"); }
  std::unique_ptr<DeviceTimer> make_timer(int) override { unexpected("make_timer"); }
  std::size_t activation_bytes(int, const Extent&) const override { unexpected("activation_bytes"); }
  void pack_activation(int, const Extent&, const float*, void*) override { unexpected("pack_activation"); }
  void unpack_activation(int, const Extent&, const void*, float*) override { unexpected("unpack_activation"); }
  void upload(void*, const void*, std::size_t) override { unexpected("upload"); }
  void download(void*, const void*, std::size_t) override { unexpected("download"); }
  void copy(void*, const void*, std::size_t) override { unexpected("copy"); }
  void zero(void*, std::size_t) override { unexpected("zero"); }
  void wait() override { unexpected("wait"); }
  void begin_step(const StepRow*, std::int32_t*, StepRow*) override { unexpected("begin_step"); }
  void prepare_input(const InputArgs&) override { unexpected("prepare_input"); }
  void softmax_cross_entropy(const LossArgs&) override { unexpected("softmax_cross_entropy"); }
  void accumulate_logits(const float*, float, bool, std::size_t, float*) override { unexpected("accumulate_logits"); }
  void add_gradient(int, const Extent&, void*, const void*) override { unexpected("add_gradient"); }
  void add_scaled(float*, float, const float*, std::size_t) override { unexpected("add_scaled"); }
  void scale(float*, float, std::size_t) override { unexpected("scale"); }
  void mean_of_sums(const MeanArgs&) override { unexpected("mean_of_sums"); }
  double sum_of_squares(const float*, std::size_t) override { unexpected("sum_of_squares"); }
  void clip_factor(const float*, std::size_t, float, float*, float*, LossScale*) override { unexpected("clip_factor"); }
  std::uint64_t checksum(const void*, std::size_t) override { unexpected("checksum"); }
  std::int64_t first_not_finite(const float*, std::size_t) override { unexpected("first_not_finite"); }

 private:
  [[noreturn]] static void unexpected(const char* what) { throw std::logic_error(what); }
};

}  // namespace convoy::test
