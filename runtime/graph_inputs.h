// The sizes of a graph's inputs that its file was made for.
#pragma once

#include <string>
#include <vector>

#include "tflite_abi.h"

namespace aqe {

// An operator of a graph. The pointers hold until the graph is changed.
struct GraphNode {
  int index;
  const tflite::Node* node;
  const tflite::Registration* registration;
};

// Reads the operators in the order in which they run. Throws FormatError.
std::vector<GraphNode> read_nodes(tflite::Context* context);

// Operators between an input and ours (reshapes above all) can turn another
// size into another number of examples, which no operator sees in its own
// tensors. So each looks at the graph's inputs.
class GraphInputs {
 public:
  GraphInputs(const tflite::Context& context,
              const std::vector<GraphNode>& nodes);

  // Throws FormatError if an input has another size than the file gives. The
  // batch is free, and what the file leaves open (-1 in the shape signature).
  void check(const tflite::Context& context) const;

 private:
  struct Input {
    int tensor;
    std::vector<int> sizes;  // -1: any
  };

  std::vector<Input> inputs_;
};

}  // namespace aqe
