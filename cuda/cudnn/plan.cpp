// See plan.hpp.
#include "cudnn/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "convoy/error.hpp"

namespace convoy::cuda::cudnn {
namespace {

using Notes = std::vector<cudnnBackendNumericalNote_t>;

bool has(const Notes& notes, cudnnBackendNumericalNote_t note) { return std::ranges::find(notes, note) != notes.end(); }

// Which rule an engine breaks; empty: none.
std::string_view broken_rule(const Notes& notes, DType type, const Rules& rules) {
  if (type == DType::f32 && !rules.tf32 && has(notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) {
    return "multiplies fp32 on tensor cores";
  }
  // To 16 bits, which is not what TF32 does.
  if (has(notes, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)) return "rounds its inputs";
  if (has(notes, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return "sums in less than fp32";
  // Transforms of large tiles and of whole images lose digits that the elements have.
  if (has(notes, CUDNN_NUMERICAL_NOTE_WINOGRAD) || has(notes, CUDNN_NUMERICAL_NOTE_FFT)) return "transforms its inputs";
  if (rules.deterministic && has(notes, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) return "is not deterministic";
  return "";
}

std::vector<Descriptor> configurations(const Graph& graph, cudnnBackendHeurMode_t mode, const Target& target) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.whole);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  target.name_in_heuristics(heuristics);
  if (!heuristics.try_finalize()) return {};  // this mode knows no engine
  std::int64_t count = 0;
  CHECK_CUDNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                       0, &count, nullptr));
  std::vector<Descriptor> found;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < count; ++i) {
    handles.push_back(found.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
  }
  CHECK_CUDNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                       count, &count, handles.data()));
  found.erase(found.begin() + count, found.end());
  return found;
}

// An error of cuDNN's alone would not say of which of the network's convolutions it is.
Graph build_named(const Convolution& convolution, const Target& target) {
  try {
    return build(convolution, target);
  } catch (const Error& error) {
    fail("{}: {}", describe(convolution), error.what());
  }
}

}  // namespace

Plan::Plan(const Convolution& convolution, const Rules& rules, const Target& target)
    : Plan(std::move(candidates(convolution, rules, target, 1).front())) {}

std::vector<Plan> Plan::candidates(const Convolution& convolution, const Rules& rules, const Target& target,
                                   std::size_t most) {
  const auto graph = std::make_shared<const Graph>(build_named(convolution, target));
  std::vector<Plan> found;
  std::string obstacle = "its heuristics know no engine";
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (!found.empty()) break;
    for (Descriptor& configuration : configurations(*graph, mode, target)) {
      Plan plan(convolution, graph);
      if (plan.take(configuration, rules, target, obstacle)) found.push_back(std::move(plan));
      if (found.size() == most) break;
    }
  }
  CONVOY_CHECK(!found.empty(), "{}: cuDNN {} has no plan: {}", describe(convolution), cudnnGetVersion(), obstacle);
  return found;
}

bool Plan::take(Descriptor& configuration, const Rules& rules, const Target& target, std::string& obstacle) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  configuration.read_into(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  const auto number = engine.value<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  const auto notes =
      engine.values<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  if (const auto broken = broken_rule(notes, convolution_.type, rules); !broken.empty()) {
    obstacle = fmt::format("engine {} {}", number, broken);
    return false;
  }
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  target.name_in_plan(plan);
  if (!plan.try_finalize()) {
    obstacle = fmt::format("engine {} does not run on this device", number);
    return false;
  }
  const auto bytes = plan.value<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  if (static_cast<std::size_t>(bytes) > rules.workspace_limit) {
    obstacle = fmt::format("engine {} wants {:.0f} MB of workspace, {:.0f} MB are allowed", number,
                           static_cast<double>(bytes) / 1e6, static_cast<double>(rules.workspace_limit) / 1e6);
    return false;
  }
  workspace_bytes_ = static_cast<std::size_t>(bytes);
  on_tensor_cores_ = has(notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
  is_deterministic_ = !has(notes, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
  name_ = fmt::format("engine {}{}", number, on_tensor_cores_ ? " (tensor cores)" : "");
  configuration_ = std::move(configuration);
  plan_ = std::move(plan);
  return true;
}

std::string Plan::text() const {
  std::int64_t length = 0;
  CHECK_CUDNN(cudnnBackendGetAttribute(plan_->get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0,
                                       &length, nullptr));
  const auto plan = plan_->values<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, length);
  const nlohmann::json whole = {{"name", name_},
                                {"tensor_cores", on_tensor_cores_},
                                {"deterministic", is_deterministic_},
                                {"plan", std::string(plan.data(), strnlen(plan.data(), plan.size()))}};
  return whole.dump();
}

std::optional<Plan> Plan::from_text(const std::string& text, const Convolution& convolution, const Target& target) {
  const auto whole = nlohmann::json::parse(text, nullptr, false);
  Plan plan(convolution, nullptr);
  std::string inner;
  try {
    inner = whole.at("plan").get<std::string>();
    plan.name_ = whole.at("name").get<std::string>();
    plan.on_tensor_cores_ = whole.at("tensor_cores").get<bool>();
    plan.is_deterministic_ = whole.at("deterministic").get<bool>();
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
  plan.plan_.emplace(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  target.name_in_plan(*plan.plan_);
  if (!plan.plan_->try_set(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, inner)) return std::nullopt;
  if (!plan.plan_->try_finalize()) return std::nullopt;
  plan.workspace_bytes_ =
      static_cast<std::size_t>(plan.plan_->value<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  return plan;
}

void Plan::pack(const Tensors& tensors, void* workspace) {
  const auto address = [](const void* data) { return const_cast<void*>(data); };
  std::vector<std::int64_t> roles = {kInput, kFilters, kOutput};
  std::vector<void*> addresses = {address(tensors.input), address(tensors.filters), address(tensors.output)};
  if (convolution_.bias) {
    roles.push_back(kBias);
    addresses.push_back(address(tensors.bias));
  }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, roles);
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
  pack.set_addresses(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, {workspace});
  pack.finalize();
  pack_ = std::move(pack);
  packed_ = tensors;
  packed_workspace_ = workspace;
}

cudnnStatus_t Plan::try_execute(cudnnHandle_t handle, const Tensors& tensors, void* workspace) {
  if (!pack_ || packed_ != tensors || packed_workspace_ != workspace) pack(tensors, workspace);
  return cudnnBackendExecute(handle, plan_->get(), pack_->get());
}

void Plan::execute(cudnnHandle_t handle, const Tensors& tensors, void* workspace) {
  CHECK_CUDNN(try_execute(handle, tensors, workspace));
}

}  // namespace convoy::cuda::cudnn
