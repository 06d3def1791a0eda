// What logits say.
#include "train/predictions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace convoy {
namespace {

constexpr std::size_t kMostInMatrix = 20;    // classes, so that a line of the matrix fits a terminal
constexpr std::size_t kMostConfusions = 20;  // lines, where there is no matrix

std::string matrix_text(const Confusion& confusion) {
  const std::size_t classes = confusion.classes();
  std::size_t width = std::to_string(classes - 1).size() + 1;
  for (const std::int64_t count : confusion.counts) width = std::max(width, std::to_string(count).size() + 1);
  std::string text = "confusion: a row for each true class, a column for each predicted one\n      ";
  for (std::size_t predicted = 0; predicted < classes; ++predicted) text += fmt::format("{:>{}}", predicted, width);
  text += '\n';
  for (std::size_t truth = 0; truth < classes; ++truth) {
    text += fmt::format("  {:>4}", truth);
    for (std::size_t predicted = 0; predicted < classes; ++predicted) {
      text += fmt::format("{:>{}}", confusion.count(truth, predicted), width);
    }
    text += '\n';
  }
  return text;
}

std::string most_frequent_text(const Confusion& confusion) {
  const std::size_t classes = confusion.classes();
  std::vector<std::size_t> places;
  for (std::size_t place = 0; place < confusion.counts.size(); ++place) {
    if (place / classes != place % classes && confusion.counts[place] > 0) places.push_back(place);
  }
  std::stable_sort(places.begin(), places.end(),
                   [&](std::size_t a, std::size_t b) { return confusion.counts[a] > confusion.counts[b]; });
  places.resize(std::min(places.size(), kMostConfusions));
  std::string text = "most frequent confusions (--json has all)\n";
  for (const std::size_t place : places) {
    text += fmt::format("  {:>6}  {} taken for {}\n", confusion.counts[place], confusion.class_names[place / classes],
                        confusion.class_names[place % classes]);
  }
  return text;
}

}  // namespace

std::vector<Prediction> most_probable(std::span<const float> logits, int most) {
  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](int c) { return logits[static_cast<std::size_t>(c)]; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logit(a) > logit(b); });
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - logit(order.front()));
  order.resize(std::min(order.size(), static_cast<std::size_t>(most)));
  std::vector<Prediction> result;
  for (const int c : order) result.push_back({c, std::exp(static_cast<double>(logit(c)) - logit(order.front())) / sum});
  return result;
}

std::int64_t Confusion::images(std::size_t truth) const {
  const auto row = counts.begin() + static_cast<std::ptrdiff_t>(truth * classes());
  return std::accumulate(row, row + static_cast<std::ptrdiff_t>(classes()), std::int64_t{0});
}

double Confusion::accuracy(std::size_t truth) const {
  return static_cast<double>(count(truth, truth)) / static_cast<double>(std::max<std::int64_t>(images(truth), 1));
}

Confusion confusion_of(std::span<const float> logits, std::span<const std::int32_t> labels,
                       const std::vector<std::string>& class_names) {
  const std::size_t classes = class_names.size();
  Confusion confusion{class_names, std::vector<std::int64_t>(classes * classes)};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const int predicted = most_probable(logits.subspan(i * classes, classes), 1).front().class_index;
    ++confusion.counts[static_cast<std::size_t>(labels[i]) * classes + static_cast<std::size_t>(predicted)];
  }
  return confusion;
}

std::string to_text(const Confusion& confusion) {
  std::size_t width = std::string_view("class").size();
  for (const std::string& name : confusion.class_names) width = std::max(width, name.size());
  std::string text =
      fmt::format("  {:>4}  {:<{}}  {:>8}  {:>8}  {:>8}\n", "", "class", width, "images", "correct", "accuracy");
  for (std::size_t c = 0; c < confusion.classes(); ++c) {
    text += fmt::format("  {:>4}  {:<{}}  {:>8}  {:>8}  {:>8.4f}\n", c, confusion.class_names[c], width,
                        confusion.images(c), confusion.count(c, c), confusion.accuracy(c));
  }
  return text + (confusion.classes() <= kMostInMatrix ? matrix_text(confusion) : most_frequent_text(confusion));
}

std::vector<Mistake> most_confident_mistakes(std::span<const float> logits, std::span<const std::int32_t> labels,
                                             std::size_t classes, std::size_t most) {
  std::vector<Mistake> mistakes;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const Prediction first = most_probable(logits.subspan(i * classes, classes), 1).front();
    if (first.class_index != labels[i]) mistakes.push_back({i, labels[i], first});
  }
  std::stable_sort(mistakes.begin(), mistakes.end(), [](const Mistake& a, const Mistake& b) {
    return a.predicted.probability > b.predicted.probability;
  });
  mistakes.resize(std::min(mistakes.size(), most));
  return mistakes;
}

}  // namespace convoy
