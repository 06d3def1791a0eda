// See target.hpp. The one place that knows that older versions of cuDNN plan for a handle only.
#include "cudnn/target.hpp"

#include "convoy/error.hpp"

namespace convoy::cuda::cudnn {

void Target::name_in_graph(Descriptor& graph) const {
  if (handle_ != nullptr) graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle_);
}

#if CUDNN_VERSION >= 90800

Target::Target(std::string_view properties) : properties_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR) {
  properties_->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::vector<char>(properties.begin(), properties.end()));
  properties_->finalize();
}

void Target::name_in_heuristics(Descriptor& heuristics) const {
  if (properties_) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *properties_);
}

void Target::name_in_plan(Descriptor& plan) const {
  if (properties_) {
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *properties_);
  } else {
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_);
  }
}

#else

Target::Target(std::string_view) { fail("plans for a device that is not here need cuDNN 9.8 or later"); }
void Target::name_in_heuristics(Descriptor&) const {}
void Target::name_in_plan(Descriptor& plan) const { plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle_); }

#endif

}  // namespace convoy::cuda::cudnn
