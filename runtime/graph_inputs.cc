#include "graph_inputs.h"

#include "operator_options.h"

namespace aqe {
namespace {

constexpr int kAnySize = -1;

std::vector<int> sizes_of(const tflite::Tensor& tensor) {
  const tflite::IntArray* sizes = tensor.dims;
  const tflite::IntArray* signature = tensor.dims_signature;
  // Files without a size left open have no signature.
  if (signature != nullptr && signature->size == sizes->size) sizes = signature;
  std::vector<int> found(sizes->data, sizes->data + sizes->size);
  if (!found.empty()) found[0] = kAnySize;
  return found;
}

bool fits(const std::vector<int>& sizes, const tflite::IntArray& dims) {
  if (static_cast<int>(sizes.size()) != dims.size) return false;
  for (int i = 0; i < dims.size; ++i) {
    if (sizes[i] != kAnySize && sizes[i] != dims.data[i]) return false;
  }
  return true;
}

std::string shape_text(const int* sizes, size_t count) {
  std::string shape = "[";
  for (size_t i = 0; i < count; ++i)
    shape += (i ? ", " : "") + std::to_string(sizes[i]);
  return shape + "]";
}

}  // namespace

std::vector<GraphNode> read_nodes(tflite::Context* context) {
  tflite::IntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != tflite::kOk)
    throw FormatError("the interpreter has no execution plan");
  // The interpreter reuses the plan's memory while nodes are looked up.
  const std::vector<int> indices(plan->data, plan->data + plan->size);
  std::vector<GraphNode> nodes;
  for (const int index : indices) {
    tflite::Node* node = nullptr;
    tflite::Registration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, index, &node, &registration) !=
        tflite::kOk) {
      throw FormatError("the interpreter does not know its own operators");
    }
    nodes.push_back({index, node, registration});
  }
  return nodes;
}

GraphInputs::GraphInputs(const tflite::Context& context,
                         const std::vector<GraphNode>& nodes) {
  // Whether a tensor is computed, or was seen already.
  std::vector<bool> is_known(context.tensors_size);
  const auto note = [&](int index) {
    if (index < 0 || static_cast<size_t>(index) >= is_known.size()) return true;
    const bool was_known = is_known[index];
    is_known[index] = true;
    return was_known;
  };
  for (const GraphNode& each : nodes) {
    const tflite::IntArray& outputs = *each.node->outputs;
    for (int i = 0; i < outputs.size; ++i) note(outputs.data[i]);
  }
  for (const GraphNode& each : nodes) {
    const tflite::IntArray& used = *each.node->inputs;
    for (int i = 0; i < used.size; ++i) {
      if (note(used.data[i])) continue;
      const tflite::Tensor& tensor = context.tensors[used.data[i]];
      if (tensor.allocation_type != tflite::kReadOnly && !tensor.is_variable &&
          tensor.dims != nullptr) {
        inputs_.push_back({used.data[i], sizes_of(tensor)});
      }
    }
  }
}

void GraphInputs::check(const tflite::Context& context) const {
  for (const Input& input : inputs_) {
    const tflite::Tensor& tensor = context.tensors[input.tensor];
    if (tensor.dims == nullptr || fits(input.sizes, *tensor.dims)) continue;
    const bool same_rank = input.sizes.size() == size_t(tensor.dims->size);
    throw FormatError(
        std::string("the model's input '") + (tensor.name ? tensor.name : "") +
        "' " +
        (same_rank ? ""
                   : "must have " + std::to_string(input.sizes.size()) +
                         " dimensions, but it ") +
        "was resized to " + shape_text(tensor.dims->data, tensor.dims->size) +
        ", and the file was made for " +
        shape_text(input.sizes.data(), input.sizes.size()) +
        " (-1: any size); convert a model of the other size");
  }
}

}  // namespace aqe
