// What logits say: classes with probabilities, which classes are taken for which, and the mistakes made most surely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace convoy {

struct Prediction {
  int class_index = 0;
  double probability = 0;
};

// Of one image's logits: the `most` classes with the greatest probabilities (softmax), in their order; of equal ones
// the first class first, as the evaluation counts them.
std::vector<Prediction> most_probable(std::span<const float> logits, int most);

// Which classes were taken for which.
struct Confusion {
  std::vector<std::string> class_names;
  std::vector<std::int64_t> counts;  // [true class, predicted class]

  std::size_t classes() const { return class_names.size(); }
  std::int64_t count(std::size_t truth, std::size_t predicted) const { return counts[truth * classes() + predicted]; }
  std::int64_t images(std::size_t truth) const;  // of that class
  double accuracy(std::size_t truth) const;      // of that class; 0 where it has no images
};

// logits [count, classes], labels [count].
Confusion confusion_of(std::span<const float> logits, std::span<const std::int32_t> labels,
                       const std::vector<std::string>& class_names);

// A table of the classes and, for few of them, the matrix; for many the most frequent confusions.
std::string to_text(const Confusion& confusion);

struct Mistake {
  std::size_t image = 0;
  int truth = 0;
  Prediction predicted;
};

// The wrong predictions of the greatest probabilities, at most `most`; of equal ones the first image first.
std::vector<Mistake> most_confident_mistakes(std::span<const float> logits, std::span<const std::int32_t> labels,
                                             std::size_t classes, std::size_t most);

}  // namespace convoy
