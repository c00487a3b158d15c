#include "cases.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "keras_aqe/codes.h"

namespace aqe {
namespace {

// A size around a multiple of `tile`: below, at, above.
int around(Random& random, int tile, int limit) {
  return std::clamp(tile * random.between(0, 2) +
                        random.between(-2, 2) * random.between(0, 1),
                    1, limit);
}

std::vector<float> reals(Random& random, int count) {
  std::vector<float> values(count);
  for (float& value : values) value = random.real();
  return values;
}

// Sizes of output and padding on one axis; enlarges the input until the window
// fits.
void place(Random& random, int kernel, int stride, int dilation, int* in,
           int* out, int* pad) {
  const int extent = (kernel - 1) * dilation + 1;
  switch (random.between(0, 2)) {
    case 0:
      *in = std::max(*in, extent);
      *pad = 0;
      *out = (*in - extent) / stride + 1;
      break;
    case 1:
      *out = (*in + stride - 1) / stride;
      *pad = std::max((*out - 1) * stride + extent - *in, 0) / 2;
      break;
    default: {
      const int after = random.between(0, extent - 1);
      *pad = random.between(0, extent - 1);
      *in = std::max(*in, extent - *pad - after);
      *out = (*in + *pad + after - extent) / stride + 1;
    }
  }
}

void place_inside(int size, int stride, int* in, int* out, int* pad) {
  *in = std::max(*in, size);
  *pad = 0;
  *out = (*in - size) / stride + 1;
}

void choose_channels(Random& random, const Kernel& kernel, Layer* layer) {
  layer->batch = random.chance(70) ? 1 : random.between(2, 3);
  layer->in_channels =
      random.pick({random.between(1, 9), random.between(8, 40),
                   around(random, 64, 200), around(random, 128, 300)});
  layer->out_channels = random.pick({random.between(1, 9),
                                     around(random, kernel.tile_channels, 200),
                                     around(random, 64, 200)});
}

// Pixels of a layer without windows.
void choose_row(Random& random, Case* c) {
  Layer& layer = c->layer;
  if (layer.op != Operator::kFullyConnected) {
    layer.in_width = layer.out_width = random.between(1, 20);
    layer.out_channels = layer.in_channels;
    return;
  }
  layer.in_width = layer.window.width =
      random.chance(50) ? 1 : random.between(2, 12);
  if (c->is_extreme) {  // long sums, at little cost
    layer.in_width = layer.window.width = random.between(20, 60);
    layer.out_channels = random.between(1, 9);
  }
}

void choose_window(Random& random, const Kernel& kernel, Case* c) {
  Layer* layer = &c->layer;
  Window& window = layer->window;
  window.height = random.between(1, 4);
  window.width = random.between(1, 4);
  if (layer->op != Operator::kConv2D && random.chance(20)) {
    window.height = random.between(5, 9);
    window.width = random.between(5, 9);
  }
  window.stride_y = random.chance(60) ? 1 : random.between(2, 3);
  window.stride_x = random.chance(60) ? 1 : random.between(2, 3);
  constexpr int kLongRow = 40;
  layer->in_height = random.between(1, 9);
  layer->in_width = random.chance(50)
                        ? random.between(1, 9)
                        : around(random, kernel.tile_pixels, kLongRow);
  if (kernel.tile_pixels > kLongRow && random.chance(30)) {
    // Tiles of several rows; few channels, since there are many positions.
    const int pixels = random.between(1, kernel.tile_pixels * 3 / 2);
    layer->in_width = random.between(5, 20);
    layer->in_height = (pixels + layer->in_width - 1) / layer->in_width;
    layer->in_channels = random.between(1, 40);
    layer->out_channels = random.between(1, 40);
  }
  if (layer->op == Operator::kConv2D && c->is_extreme && random.chance(30)) {
    layer->in_channels = random.between(500, 3600);  // long sums here as well
    layer->out_channels = random.between(1, 9);
    layer->in_height = layer->in_width = random.between(1, 4);
  }
}

void choose_groups(Random& random, Layer* layer) {
  if (layer->op == Operator::kDepthwiseConv2D) {
    layer->groups = layer->in_channels;
    const int most = layer->in_channels < 10 ? 70 : 3;
    layer->out_channels =
        layer->in_channels * (random.chance(50) ? 1 : random.between(2, most));
  } else if (random.chance(20)) {
    layer->groups = random.between(2, 4);
    layer->in_channels = layer->groups * random.between(1, 70);
    layer->out_channels = layer->groups * random.between(1, 40);
  }
}

void place_window(Random& random, Layer* layer) {
  Window& window = layer->window;
  // A partial window makes the mean's divisor differ, which only float output
  // can express.
  if (layer->op == Operator::kAveragePool2D &&
      layer->output != Type::kFloat32) {
    place_inside(window.height, window.stride_y, &layer->in_height,
                 &layer->conv_height, &window.pad_top);
    place_inside(window.width, window.stride_x, &layer->in_width,
                 &layer->conv_width, &window.pad_left);
    return;
  }
  const bool pooling = layer->weight_bits == 0;
  do {  // a pooling window never lies wholly in the padding
    place(random, window.height, window.stride_y, window.dilation_y,
          &layer->in_height, &layer->conv_height, &window.pad_top);
    place(random, window.width, window.stride_x, window.dilation_x,
          &layer->in_width, &layer->conv_width, &window.pad_left);
  } while (pooling &&
           ((layer->conv_height - 1) * window.stride_y - window.pad_top >=
                layer->in_height ||
            (layer->conv_width - 1) * window.stride_x - window.pad_left >=
                layer->in_width));
}

// A max pool behind a convolution.
void choose_pool(Random& random, Layer* layer) {
  layer->has_pool = true;
  layer->pool.height = random.between(1, std::min(3, layer->conv_height));
  layer->pool.width = random.between(1, std::min(3, layer->conv_width));
  layer->pool.stride_y = random.between(1, 3);
  layer->pool.stride_x = random.between(1, 3);
  if (random.chance(70)) {
    layer->out_height =
        (layer->conv_height - layer->pool.height) / layer->pool.stride_y + 1;
    layer->out_width =
        (layer->conv_width - layer->pool.width) / layer->pool.stride_x + 1;
    return;
  }
  const auto same = [](int in, int size, int stride, int* out, int* pad) {
    *out = (in + stride - 1) / stride;
    *pad = std::max((*out - 1) * stride + size - in, 0) / 2;
  };
  same(layer->conv_height, layer->pool.height, layer->pool.stride_y,
       &layer->out_height, &layer->pool.pad_top);
  same(layer->conv_width, layer->pool.width, layer->pool.stride_x,
       &layer->out_width, &layer->pool.pad_left);
}

void choose_shape(Random& random, const Kernel& kernel, Case* c) {
  Layer* layer = &c->layer;
  choose_channels(random, kernel, layer);
  if (layer->op == Operator::kFullyConnected ||
      layer->op == Operator::kQuantize || layer->op == Operator::kDequantize) {
    choose_row(random, c);
    return;
  }
  choose_window(random, kernel, c);
  if (layer->op == Operator::kMaxPool2D ||
      layer->op == Operator::kAveragePool2D) {
    layer->out_channels = layer->in_channels;
  } else {
    Window& window = layer->window;
    window.dilation_y = random.chance(80) ? 1 : random.between(2, 3);
    window.dilation_x = random.chance(80) ? 1 : random.between(2, 3);
    choose_groups(random, layer);
  }
  place_window(random, layer);
  layer->out_height = layer->conv_height;
  layer->out_width = layer->conv_width;
  if (layer->op == Operator::kConv2D && random.chance(40))
    choose_pool(random, layer);
}

// Greatest |accumulator| that is likely, for thresholds that cut somewhere.
int spread(const Layer& layer) {
  if (layer.op == Operator::kQuantize)
    return layer.input == Type::kFloat32 ? 3 : 1000;
  double values = layer.weight_bits
                      ? static_cast<double>(layer.weights_per_output())
                      : layer.window.height * layer.window.width;
  const int magnitude =
      (layer.input == Type::kUInt8 ? 200
       : layer.float_accumulator() ? 1
                                   : max_code(bits(layer.input))) *
      (layer.weight_bits ? max_code(layer.weight_bits) : 1);
  return std::max(2, static_cast<int>(std::sqrt(values) * magnitude));
}

void choose_weights(Random& random, Case* c) {
  Layer& layer = c->layer;
  const size_t count =
      static_cast<size_t>(layer.weights_per_output()) * layer.out_channels;
  layer.weight_plane_bytes = (count + 7) / 8;
  c->weights.assign(layer.weight_plane_bytes * layer.weight_bits, 0);
  int index = 0;
  for (size_t i = 0; i < count; ++i) {
    const int last = threshold_count(static_cast<Type>(layer.weight_bits));
    if (!c->is_extreme) {
      index = random.between(0, last);
    } else if (i % layer.weights_per_output() == 0) {
      index = random.pick({0, last});
    }
    const int code = code_at(static_cast<Type>(layer.weight_bits), index);
    const unsigned planes = planes_from_code(layer.weight_bits, code);
    for (int p = 0; p < layer.weight_bits; ++p) {
      c->weights[p * layer.weight_plane_bytes + i / 8] |=
          static_cast<uint8_t>((planes >> p & 1) << (i % 8));
    }
  }
  layer.weights = c->weights.data();
}

// What makes floats of sums, to be rounded or not.
void choose_scales(Random& random, bool rounding, Case* c) {
  Layer& layer = c->layer;
  c->scale = reals(random, layer.out_channels);
  c->bias = reals(random, layer.out_channels);
  // Some codes at either end, most between.
  const float reach = rounding ? 200.0f : layer.sums() ? 2.0f : 0.0f;
  for (float& scale : c->scale)
    scale *= reach ? reach / static_cast<float>(spread(layer)) : 1.0f;
  layer.scale = c->scale.data();
  layer.bias = c->bias.data();
  if (has_output_stage(layer.op) && random.chance(50)) {
    c->offset = reals(random, layer.out_channels);
    layer.offset = c->offset.data();
  }
}

void choose_thresholds(Random& random, Case* c) {
  Layer& layer = c->layer;
  const int outputs = layer.out_channels;
  const bool real = layer.op == Operator::kQuantize
                        ? layer.input == Type::kFloat32
                        : layer.float_accumulator();
  if (layer.output == Type::kInt8 && random.chance(50)) {
    layer.code_bits = random.between(1, 8);
    layer.first_code = random.between(-128, 128 - (1 << layer.code_bits));
  }
  const int levels = layer.levels();
  const int limit = spread(layer);
  c->direction.resize(outputs);
  c->thresholds.resize(static_cast<size_t>(levels) * outputs);
  c->float_thresholds.resize(c->thresholds.size());
  for (int o = 0; o < outputs; ++o) {
    c->direction[o] = random.chance(50) ? 1 : -1;
    std::vector<int> sorted(levels);
    for (int& value : sorted) {
      value = random.chance(10) ? (random.chance(50) ? INT32_MIN : INT32_MAX)
                                : random.between(-limit, limit);
    }
    std::sort(sorted.begin(), sorted.end());
    for (int k = 0; k < levels; ++k) {
      const size_t at = static_cast<size_t>(k) * outputs + o;
      const float infinity = std::numeric_limits<float>::infinity();
      c->thresholds[at] = sorted[k];
      c->float_thresholds[at] = sorted[k] == INT32_MIN ? -infinity
                                : sorted[k] == INT32_MAX
                                    ? infinity
                                    : static_cast<float>(sorted[k]) * 0.37f;
    }
  }
  layer.direction = c->direction.data();
  if (real) {
    layer.float_thresholds = c->float_thresholds.data();
  } else {
    layer.thresholds = c->thresholds.data();
  }
}

// Of an image: mostly whole numbers, of all channels or of each, which some
// kernels ask for.
void choose_normalisation(Random& random, Case* c) {
  Layer& layer = c->layer;
  c->input_scale = reals(random, layer.in_channels);
  c->input_offset = reals(random, layer.in_channels);
  if (random.chance(80)) {
    const int most = 64 / max_code(layer.weight_bits);
    const bool is_one_scale = random.chance(70);
    const int scale = random.pick({1, 2, -most, random.between(-16, 16)});
    for (float& own : c->input_scale) {
      own = static_cast<float>(is_one_scale ? scale
                                            : random.between(-most, most));
    }
    const int offset = random.pick({0, -255, random.between(-300, 300)});
    for (float& own : c->input_offset) {
      own = static_cast<float>(random.chance(70) ? offset
                                                 : random.between(-300, 300));
    }
  }
  layer.input_scale = c->input_scale.data();
  layer.input_offset = c->input_offset.data();
}

void choose_constants(Random& random, Case* c) {
  Layer& layer = c->layer;
  if (layer.weight_bits) choose_weights(random, c);
  if (layer.input == Type::kUInt8) choose_normalisation(random, c);
  const bool has_stage = has_output_stage(layer.op);
  const bool rounding =
      has_stage && layer.output == Type::kInt8 && random.chance(50);
  if (layer.output == Type::kFloat32 || rounding) {
    choose_scales(random, rounding, c);
  } else if (is_code(layer.output) && has_stage) {
    choose_thresholds(random, c);
  }
}

Type choose_output(Random& random, const Layer& layer) {
  const Type code = random.pick({Type::kPacked1, Type::kPacked2, Type::kPacked3,
                                 Type::kPacked4, Type::kInt8});
  switch (layer.op) {
    case Operator::kMaxPool2D:
      return layer.input;
    case Operator::kQuantize:
      return code;
    case Operator::kDequantize:
      return random.pick({Type::kFloat32, Type::kInt8});
    default:
      if (random.chance(60)) return code;
      return layer.float_accumulator() || random.chance(50) ? Type::kFloat32
                                                            : Type::kInt32;
  }
}

int choose_pad_value(Random& random, const Layer& layer) {
  if (layer.weight_bits == 0 || random.chance(60)) return 0;
  if (layer.float_accumulator()) return random.pick({-1, 1});
  return code_at(layer.input, random.between(0, threshold_count(layer.input)));
}

// What goes on behind float output.
void choose_sum(Random& random, Case* c) {
  Layer& layer = c->layer;
  if (!has_weights(layer.op) || layer.output != Type::kFloat32 ||
      random.chance(30))
    return;
  Sum& sum = layer.sum;
  sum.has_addend = random.chance(70);
  sum.has_limits = random.chance(30);
  if (sum.has_limits) {
    const float infinity = std::numeric_limits<float>::infinity();
    sum.low = random.pick({-infinity, -1.0f, 0.0f});
    sum.high = random.pick({infinity, 1.0f, 0.0f});
  }
  if ((sum.has_addend || sum.has_limits) && random.chance(30)) return;
  c->keeps_floats = random.chance(50);
  for (int q = random.pick({1, 1, 2, 3}); q > 0; --q) {
    auto own = std::make_unique<Case>();
    Layer& quantizer = own->layer;
    quantizer.op = Operator::kQuantize;
    quantizer.batch = layer.batch;
    quantizer.out_height = layer.out_height;
    quantizer.out_width = layer.out_width;
    quantizer.in_channels = quantizer.out_channels = layer.out_channels;
    quantizer.input = Type::kFloat32;
    quantizer.output = choose_output(random, quantizer);
    choose_constants(random, own.get());
    c->quantizers.push_back(quantizer);
    c->quantizer_cases.push_back(std::move(own));
  }
  sum.quantizers = c->quantizers.data();
  sum.quantizer_count = static_cast<int>(c->quantizers.size());
}

// Which of a quantizer's channels are one tensor.
void choose_parts(Random& random, Case* c) {
  Layer& layer = c->layer;
  if (layer.op != Operator::kQuantize || layer.input != Type::kFloat32 ||
      random.chance(40))
    return;
  const int most = random.pick({1, 12, 20, 100});
  for (int rest = layer.in_channels; rest > 0;
       rest -= c->part_channels.back()) {
    c->part_channels.push_back(random.between(1, std::min(rest, most)));
  }
  layer.part_count = static_cast<int>(c->part_channels.size());
}

}  // namespace

Case make_case(Random& random, const Kernel& kernel, Type input,
               int weight_bits) {
  Case c;
  c.layer.op = kernel.op;
  c.layer.input = input;
  c.layer.weight_bits = weight_bits;
  c.layer.output = choose_output(random, c.layer);
  c.is_extreme = random.chance(20);
  choose_shape(random, kernel, &c);
  c.layer.pad_value = choose_pad_value(random, c.layer);
  choose_sum(random, &c);
  choose_parts(random, &c);
  choose_constants(random, &c);
  return c;
}

void fill_input(Random& random, const Case& c, void* input) {
  const Layer& layer = c.layer;
  const int64_t pixels = layer.in_pixels();
  const int extreme = random.between(0, 1);
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    char* start = static_cast<char*>(input) +
                  pixel * pixel_bytes(layer.input, layer.in_channels);
    for (int i = 0; i < layer.in_channels; ++i) {
      switch (layer.input) {
        case Type::kFloat32:
          reinterpret_cast<float*>(start)[i] = random.real() * 3.0f;
          break;
        case Type::kInt32:
          reinterpret_cast<int32_t*>(start)[i] = random.between(-1000, 1000);
          break;
        case Type::kUInt8:
          reinterpret_cast<uint8_t*>(start)[i] = static_cast<uint8_t>(
              c.is_extreme ? extreme * 255 : random.between(0, 255));
          break;
        default: {
          const int last = threshold_count(layer.input);
          store_code(
              layer.input, start, i,
              code_at(layer.input,
                      c.is_extreme ? extreme * last : random.between(0, last)));
        }
      }
    }
  }
}

std::string describe(const Layer& layer) {
  char text[400];
  std::snprintf(
      text, sizeof text,
      "input type %d %dx%dx%dx%d, weights %d bits, window %dx%d stride %dx%d "
      "dilation %dx%d pad %d,%d value %d, groups %d, "
      "conv %dx%d, pool %d %dx%d stride %dx%d pad %d,%d, output type %d "
      "of %d bits from %d, %dx%dx%d, addend %d, limits %d, %d quantizers, the "
      "first of type %d, %d parts",
      static_cast<int>(layer.input), layer.batch, layer.in_height,
      layer.in_width, layer.in_channels, layer.weight_bits, layer.window.height,
      layer.window.width, layer.window.stride_y, layer.window.stride_x,
      layer.window.dilation_y, layer.window.dilation_x, layer.window.pad_top,
      layer.window.pad_left, layer.pad_value, layer.groups, layer.conv_height,
      layer.conv_width, layer.has_pool, layer.pool.height, layer.pool.width,
      layer.pool.stride_y, layer.pool.stride_x, layer.pool.pad_top,
      layer.pool.pad_left, static_cast<int>(layer.output), layer.code_bits,
      layer.first_code, layer.out_height, layer.out_width, layer.out_channels,
      layer.sum.has_addend, layer.sum.has_limits, layer.sum.quantizer_count,
      layer.sum.quantizer_count == 0
          ? 0
          : static_cast<int>(layer.sum.quantizers->output),
      layer.part_count);
  return text;
}

}  // namespace aqe
