#include "delegate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aligned_memory.h"
#include "graph_inputs.h"
#include "keras_aqe/kernel.h"
#include "packed_constants.h"
#include "prepared_layer.h"
#include "tflite_abi.h"
#include "thread_pool.h"
#include "work_split.h"

namespace aqe {
namespace {

// What one operator of a graph runs as and takes.
struct NodeProfile {
  int index;  // in the file
  std::atomic<const char*> kernel{nullptr};
  std::atomic<int64_t> runs{0}, nanoseconds{0};

  explicit NodeProfile(int operator_index) : index(operator_index) {}
};

struct DelegateData : std::enable_shared_from_this<DelegateData> {
  tflite::Delegate delegate = {};
  int num_threads = 0;  // 0: what the interpreter recommends
  bool is_timed = false;
  std::mutex mutex;
  std::unique_ptr<ThreadPool> pool;
  int64_t share = 0;  // of work, that pays for one of its threads
  // Of all operators that it was ever given.
  std::vector<std::shared_ptr<NodeProfile>> profiles;
  std::string profile_text;

  std::shared_ptr<NodeProfile> add_profile(int index) {
    std::lock_guard<std::mutex> lock(mutex);
    return profiles.emplace_back(std::make_shared<NodeProfile>(index));
  }

  // A line for each operator that was prepared: its index, its kernel, its runs
  // and their nanoseconds, separated by tabs.
  const char* write_profile() {
    std::lock_guard<std::mutex> lock(mutex);
    profile_text.clear();
    for (const auto& profile : profiles) {
      const char* kernel = profile->kernel;
      if (kernel == nullptr) continue;
      profile_text += std::to_string(profile->index) + "\t" + kernel + "\t" +
                      std::to_string(profile->runs) + "\t" +
                      std::to_string(profile->nanoseconds) + "\n";
    }
    return profile_text.c_str();
  }

  // The pool, started when the first graph asks for it.
  ThreadPool* threads(int recommended) {
    std::lock_guard<std::mutex> lock(mutex);
    if (pool == nullptr) {
      // More threads than CPUs would only take turns on them.
      pool = std::make_unique<ThreadPool>(std::min(
          std::clamp(num_threads ? num_threads : recommended, 1, kMaxThreads),
          available_cpus()));
      share = share_nanoseconds(pool->measure_hand_over());
    }
    return pool.get();
  }
};

// Those that are not released yet. Operators hold what they need of theirs, so
// that it may be released before its interpreters.
class LiveDelegates {
 public:
  void add(const std::shared_ptr<DelegateData>& data) {
    std::lock_guard<std::mutex> lock(mutex_);
    delegates_.emplace(&data->delegate, data);
  }

  // Null where it is none of them: its memory may be gone.
  std::shared_ptr<DelegateData> find(const tflite::Delegate* delegate) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = delegates_.find(delegate);
    return found == delegates_.end() ? nullptr : found->second;
  }

  // Likewise, and it is none of them from now on.
  std::shared_ptr<DelegateData> take(const tflite::Delegate* delegate) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto taken = delegates_.extract(delegate);
    return taken.empty() ? nullptr : std::move(taken.mapped());
  }

 private:
  std::mutex mutex_;
  std::map<const tflite::Delegate*, std::shared_ptr<DelegateData>> delegates_;
};

LiveDelegates& live_delegates() {
  // A program may release its delegates after the last destructor of ours.
  static auto* const delegates = new LiveDelegates;
  return *delegates;
}

// What the operators of one graph share.
struct Graph {
  GraphInputs inputs;
  // What those that are shared out are estimated to take.
  int64_t shared_nanoseconds = 0;
};

// One operator of one graph.
class DelegatedNode {
 public:
  DelegatedNode(tflite::Context* context, const tflite::DelegateParams& params,
                std::shared_ptr<Graph> graph)
      : graph_(std::move(graph)) {
    if (params.nodes_to_replace->size != 1)
      throw FormatError("the interpreter merged operators");
    tflite::Node* node = nullptr;
    tflite::Registration* registration = nullptr;
    const int index = params.nodes_to_replace->data[0];
    if (context->GetNodeAndRegistration(context, index, &node, &registration) !=
        tflite::kOk) {
      throw FormatError("the interpreter does not know its own operator");
    }
    name_ = std::string(registration->custom_name) + " (operator " +
            std::to_string(index) + ")";
    find_operator(registration->custom_name, &op_);
    delegate_ =
        static_cast<DelegateData*>(params.delegate->data)->shared_from_this();
    threads_ = delegate_->threads(context->recommended_num_threads);
    profile_ = delegate_->add_profile(index);
    inputs_.assign(node->inputs->data, node->inputs->data + node->inputs->size);
    outputs_.assign(node->outputs->data,
                    node->outputs->data + node->outputs->size);
    const auto* options = static_cast<const char*>(node->custom_initial_data);
    if (options != nullptr && node->custom_initial_data_size > 0)
      options_.assign(options, node->custom_initial_data_size);
  }

  const std::string& name() const { return name_; }
  const char* kernel_name() const {
    return kernel_ ? kernel_->name : "unprepared";
  }

  // Checks everything, chooses the kernel and makes its memory ready.
  void prepare(tflite::Context* context) {
    kernel_ = nullptr;
    graph_->inputs.check(*context);
    std::vector<const tflite::Tensor*> inputs, outputs;
    for (const int index : inputs_) {
      inputs.push_back(find(context, index));
      if (inputs.back() != nullptr && inputs.back()->dims == nullptr)
        throw FormatError("an input has no shape");
    }
    for (const int index : outputs_) {
      if (std::count(inputs_.begin(), inputs_.end(), index) != 0)
        throw FormatError("its output is also its input");
      if (std::count(outputs_.begin(), outputs_.end(), index) != 1)
        throw FormatError("two of its outputs are the same");
      outputs.push_back(find(context, index));
    }

    prepared_.reset();
    prepared_.emplace(op_, Options(options_.data(), options_.size()), inputs,
                      outputs);
    const Layer& layer = prepared_->layer;
    const Kernel* kernel = select_kernel(layer, cpu_features());
    if (kernel == nullptr) throw FormatError("no kernel computes these widths");
    constants_ = packed_constants(*kernel, layer);
    const int64_t nanoseconds = estimate_nanoseconds(*kernel, layer);
    split_ = split_work(nanoseconds, threads_->threads(), delegate_->share);
    graph_->shared_nanoseconds -= shared_nanoseconds_;
    shared_nanoseconds_ = split_.threads > 1 ? nanoseconds : 0;
    graph_->shared_nanoseconds += shared_nanoseconds_;
    scratch_stride_ = (kernel->scratch_bytes(layer) + 63) / 64 * 64;
    scratch_.reset();
    scratch_ = allocate_aligned(scratch_stride_ * split_.threads);

    for (size_t i = 0; i < outputs_.size(); ++i) {
      resize(context, &context->tensors[outputs_[i]],
             prepared_->outputs[i].shape);
    }
    kernel_ = kernel;
    profile_->kernel = kernel->name;
  }

  // Runs the kernel; false with a message in `error` if a tensor is not what it
  // was at prepare.
  bool invoke(tflite::Context* context, const char** error) {
    if (kernel_ == nullptr || !prepared_) {
      *error = "it was not prepared";
      return false;
    }
    bool usable =
        !prepared_->layer.sum.has_addend ||
        is_usable(context->tensors[inputs_.back()], prepared_->addend_bytes);
    for (size_t i = 0; i < prepared_->input_bytes.size(); ++i) {
      usable &=
          is_usable(context->tensors[inputs_[i]], prepared_->input_bytes[i]);
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      usable &=
          is_usable(context->tensors[outputs_[i]], prepared_->outputs[i].bytes);
    }
    if (!usable) {
      *error =
          "a tensor has another size than when it was prepared, or is not "
          "aligned to 8 bytes";
      return false;
    }
    if (!delegate_->is_timed) {
      run(*context);
      return true;
    }
    const auto began = std::chrono::steady_clock::now();
    run(*context);
    const auto took = std::chrono::steady_clock::now() - began;
    profile_->nanoseconds +=
        std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
    ++profile_->runs;
    return true;
  }

 private:
  void run(const tflite::Context& context) {
    const auto data = [&](int index) { return context.tensors[index].data; };
    const void* input = data(inputs_[0]);
    void* output = data(outputs_[0]);
    Layer& layer = prepared_->layer;
    std::vector<Part>& parts = prepared_->parts;
    for (size_t i = 0; i < parts.size(); ++i)
      set(&parts[i].values, static_cast<const float*>(data(inputs_[i])));
    if (layer.sums()) {
      Sum& sum = layer.sum;
      if (sum.has_addend)
        set(&sum.addend, static_cast<const float*>(data(inputs_.back())));
      std::vector<void*>& codes = prepared_->codes;
      const size_t floats = outputs_.size() - codes.size();
      if (floats == 1) set(&sum.floats, static_cast<float*>(output));
      for (size_t q = 0; q < codes.size(); ++q)
        set(&codes[q], data(outputs_[floats + q]));
      output = const_cast<void*>(sum.place());
    }
    set(&input_, input);
    set(&output_, output);
    Split split = split_;
    split.wakes = graph_->shared_nanoseconds >= kWakeNanoseconds;
    threads_->run(run_units, this, kernel_->units(layer), split);
  }

  // Tensors seldom move, and what is not written stays in the caches of all
  // threads.
  template <class T>
  static void set(T* to, T value) {
    if (*to != value) *to = value;
  }

  static void run_units(void* state, int thread, int64_t begin, int64_t end) {
    const auto& node = *static_cast<const DelegatedNode*>(state);
    node.kernel_->run(
        node.prepared_->layer, node.constants_.get(), node.input_, node.output_,
        node.scratch_.get() + thread * node.scratch_stride_, begin, end);
  }

  static bool is_usable(const tflite::Tensor& tensor, size_t bytes) {
    return tensor.data != nullptr && tensor.bytes == bytes &&
           reinterpret_cast<uintptr_t>(tensor.data) % 8 == 0;
  }

  static tflite::Tensor* find(tflite::Context* context, int index) {
    return index >= 0 && static_cast<size_t>(index) < context->tensors_size
               ? &context->tensors[index]
               : nullptr;
  }

  static void resize(tflite::Context* context, tflite::Tensor* tensor,
                     const std::vector<int>& shape) {
    // A count, then as many sizes.
    const size_t bytes = sizeof(int) * (shape.size() + 1);
    auto* dims = static_cast<tflite::IntArray*>(std::malloc(bytes));
    if (dims == nullptr) throw std::bad_alloc();
    dims->size = static_cast<int>(shape.size());
    std::memcpy(reinterpret_cast<char*>(dims) + sizeof(int), shape.data(),
                sizeof(int) * shape.size());
    if (context->ResizeTensor(context, tensor, dims) != tflite::kOk)
      throw FormatError("its output cannot be resized");
  }

  std::shared_ptr<Graph> graph_;
  std::string name_;
  Operator op_ = Operator::kConv2D;
  std::string options_;
  std::vector<int> inputs_, outputs_;
  std::shared_ptr<DelegateData> delegate_;
  ThreadPool* threads_ = nullptr;
  std::shared_ptr<NodeProfile> profile_;

  const Kernel* kernel_ = nullptr;
  std::optional<PreparedLayer> prepared_;
  std::shared_ptr<const char> constants_;
  AlignedMemory scratch_;
  size_t scratch_stride_ = 0;
  int64_t shared_nanoseconds_ = 0;
  Split split_;
  // Of a run.
  const void* input_ = nullptr;
  void* output_ = nullptr;
};

// Runs `action`, which may throw, and reports what it throws as the
// interpreter's error.
template <class Action>
tflite::Status report_errors(tflite::Context* context, const char* name,
                             Action action) {
  try {
    action();
    return tflite::kOk;
  } catch (const std::bad_alloc&) {
    context->ReportError(context, "keras-aqe: %s: not enough memory", name);
  } catch (const std::exception& error) {
    context->ReportError(context, "keras-aqe: %s: %s", name, error.what());
  } catch (...) {
    context->ReportError(context, "keras-aqe: %s: unknown error", name);
  }
  return tflite::kError;
}

// Of the graph that this thread is giving to the delegate: an interpreter calls
// `init_node` for each operator on the way.
thread_local std::shared_ptr<Graph> given_graph;

void* init_node(tflite::Context* context, const char* buffer, size_t) {
  DelegatedNode* node = nullptr;
  report_errors(context, "delegate", [&] {
    node = new DelegatedNode(
        context, *reinterpret_cast<const tflite::DelegateParams*>(buffer),
        given_graph);
  });
  return node;
}

void free_node(tflite::Context*, void* user_data) {
  delete static_cast<DelegatedNode*>(user_data);
}

tflite::Status prepare_node(tflite::Context* context, tflite::Node* node) {
  auto* delegated = static_cast<DelegatedNode*>(node->user_data);
  if (delegated == nullptr) return tflite::kError;
  return report_errors(context, delegated->name().c_str(),
                       [&] { delegated->prepare(context); });
}

tflite::Status invoke_node(tflite::Context* context, tflite::Node* node) {
  auto* delegated = static_cast<DelegatedNode*>(node->user_data);
  const char* error = nullptr;
  if (delegated->invoke(context, &error)) return tflite::kOk;
  context->ReportError(context, "keras-aqe: %s: %s", delegated->name().c_str(),
                       error);
  return tflite::kError;
}

const char* profile_node(const tflite::Context*, const tflite::Node* node) {
  return node->user_data
             ? static_cast<const DelegatedNode*>(node->user_data)->kernel_name()
             : nullptr;
}

// Each operator becomes a delegate node of its own, so that the interpreter's
// arena holds the tensors between them.
tflite::Status prepare_delegate(tflite::Context* context,
                                tflite::Delegate* delegate) {
  return report_errors(context, "delegate", [&] {
    tflite::Registration registration = {};
    registration.init = init_node;
    registration.free = free_node;
    registration.prepare = prepare_node;
    registration.invoke = invoke_node;
    registration.profiling_string = profile_node;
    registration.custom_name = "KerasAqe";
    registration.version = 1;
    const std::vector<GraphNode> nodes = read_nodes(context);
    // The pointers into the graph hold until an operator is replaced.
    given_graph = std::make_shared<Graph>(Graph{GraphInputs(*context, nodes)});
    std::vector<int> ours;
    for (const GraphNode& node : nodes) {
      Operator op;
      if (find_operator(node.registration->custom_name, &op))
        ours.push_back(node.index);
    }
    for (const int index : ours) {
      const tflite::IntArray node = {1, {index}};
      if (context->ReplaceNodeSubsetsWithDelegateKernels(
              context, registration, &node, delegate) != tflite::kOk) {
        throw FormatError("the interpreter refused operator " +
                          std::to_string(index));
      }
    }
    given_graph.reset();
  });
}

}  // namespace

tflite::Delegate* create_delegate(int num_threads, bool is_timed) {
  const auto data = std::make_shared<DelegateData>();
  data->num_threads = num_threads;
  data->is_timed = is_timed;
  data->delegate.data = data.get();
  data->delegate.Prepare = prepare_delegate;
  data->delegate.flags = tflite::kAllowDynamicTensors;
  live_delegates().add(data);
  return &data->delegate;
}

bool release_delegate(const tflite::Delegate* delegate) {
  return live_delegates().take(delegate) != nullptr;
}

const char* profile_text(const tflite::Delegate* delegate) {
  const auto data = live_delegates().find(delegate);
  return data == nullptr ? "" : data->write_profile();
}

}  // namespace aqe
