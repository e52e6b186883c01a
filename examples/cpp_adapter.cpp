// LocoProp in C++17, checked by the oracle by means of a results file. It needs only the standard library.
//
//     g++ -std=c++17 -O2 examples/cpp_adapter.cpp -o cpp_adapter
//     ./cpp_adapter locoprop_ref/oracle/vectors results.json
//     locoprop-ref oracle check --results results.json
//
// This adapter covers targets, S in closed form, and K local steps by gradient descent, for layers whose
// transfer is tanh, relu, sigmoid or the identity. The first part reads JSON.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// A JSON value. The words "inf", "-inf" and "nan" stand for the numbers that JSON does not have.
struct Json {
  enum Kind { null, number, text, list, object } kind = null;
  double value = 0;
  std::string word;
  std::vector<Json> items;
  std::map<std::string, Json> members;

  bool has(const std::string& name) const { return members.count(name) > 0; }
  const Json& operator[](const std::string& name) const { return members.at(name); }
  double real() const {
    if (kind == number) return value;
    if (word == "inf") return std::numeric_limits<double>::infinity();
    if (word == "-inf") return -std::numeric_limits<double>::infinity();
    if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
    throw std::runtime_error("no number: " + word);
  }
};

class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}
  Json read() {
    skip();
    Json json;
    const char c = text_.at(at_);
    if (c == '{') {
      json.kind = Json::object;
      sequence('}', [&] {
        const std::string name = string();
        skip();
        ++at_;  // the colon
        json.members[name] = read();
      });
    } else if (c == '[') {
      json.kind = Json::list;
      sequence(']', [&] { json.items.push_back(read()); });
    } else if (c == '"') {
      json.kind = Json::text;
      json.word = string();
    } else if (c == 't' || c == 'f' || c == 'n') {
      while (at_ < text_.size() && std::isalpha(static_cast<unsigned char>(text_[at_]))) ++at_;
    } else {
      json.kind = Json::number;
      std::size_t used = 0;
      json.value = std::stod(text_.substr(at_, 40), &used);
      at_ += used;
    }
    return json;
  }

 private:
  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  template <class Part>
  void sequence(char end, Part part) {
    ++at_;
    for (skip(); text_.at(at_) != end; skip()) {
      if (text_[at_] == ',') ++at_;
      skip();
      part();
    }
    ++at_;
  }
  std::string string() {
    std::string found;
    for (++at_; text_.at(at_) != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;  // the names of the vectors have no other escapes
      found += text_.at(at_);
    }
    ++at_;
    return found;
  }
  const std::string& text_;
  std::size_t at_ = 0;
};

// Matrices are vectors of rows.
using Row = std::vector<double>;
using Matrix = std::vector<Row>;

Row row_of(const Json& json) {
  Row row;
  for (const Json& item : json.items) row.push_back(item.real());
  return row;
}
Matrix matrix_of(const Json& json) {
  Matrix matrix;
  for (const Json& item : json.items) matrix.push_back(row_of(item));
  return matrix;
}
Matrix transposed(const Matrix& A) {
  Matrix T(A[0].size(), Row(A.size()));
  for (std::size_t i = 0; i < A.size(); ++i)
    for (std::size_t j = 0; j < A[0].size(); ++j) T[j][i] = A[i][j];
  return T;
}
Matrix product(const Matrix& A, const Matrix& B) {
  Matrix C(A.size(), Row(B[0].size(), 0.0));
  for (std::size_t i = 0; i < A.size(); ++i)
    for (std::size_t k = 0; k < B.size(); ++k)
      for (std::size_t j = 0; j < B[0].size(); ++j) C[i][j] += A[i][k] * B[k][j];
  return C;
}
// A + s B
Matrix sum(Matrix A, const Matrix& B, double s) {
  for (std::size_t i = 0; i < A.size(); ++i)
    for (std::size_t j = 0; j < A[0].size(); ++j) A[i][j] += s * B[i][j];
  return A;
}
// Solves A Z = B by Gaussian elimination with row exchanges.
Matrix solve(Matrix A, Matrix B) {
  const std::size_t n = A.size();
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < n; ++i)
      if (std::abs(A[i][k]) > std::abs(A[pivot][k])) pivot = i;
    std::swap(A[k], A[pivot]);
    std::swap(B[k], B[pivot]);
    for (std::size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double factor = A[i][k] / A[k][k];
      for (std::size_t j = 0; j < n; ++j) A[i][j] -= factor * A[k][j];
      for (std::size_t j = 0; j < B[0].size(); ++j) B[i][j] -= factor * B[k][j];
    }
  }
  for (std::size_t k = 0; k < n; ++k)
    for (double& z : B[k]) z /= A[k][k];
  return B;
}

double f(const std::string& name, double a) {
  if (name == "tanh") return std::tanh(a);
  if (name == "sigmoid") return 1 / (1 + std::exp(-a));
  if (name == "relu") return std::max(a, 0.0);
  return a;
}
bool covered(const std::string& name) {
  return name == "tanh" || name == "sigmoid" || name == "relu" || name == "identity";
}
Matrix f(const std::string& name, Matrix A) {
  for (Row& row : A)
    for (double& a : row) a = f(name, a);
  return A;
}

// The local problem of a layer: x and W with the row of the bias, the target, and the local transfer.
struct Problem {
  Matrix x, W, y_target;
  std::string transfer;
  double weight_step, scale;
  bool bias;

  // x^T (f(x W) - y*) + (W - W0)/weight_step; the sum over the rows, or their mean
  Matrix gradient(const Matrix& now) const {
    const Matrix residual = sum(f(transfer, product(x, now)), y_target, -1);
    Matrix G = product(transposed(x), residual);
    for (Row& row : G)
      for (double& g : row) g /= scale;
    return sum(G, sum(now, W, -1), 1 / weight_step);
  }
};

Problem problem(const Json& conventions, const Json& inputs) {
  const bool squared = inputs["method"].word == "locoprop-s";
  Problem p;
  p.bias = inputs.has("b");
  p.x = matrix_of(inputs["x"]);
  p.W = matrix_of(inputs["W"]);
  if (p.bias) {
    for (Row& row : p.x) row.push_back(1);
    p.W.push_back(row_of(inputs["b"]));
  }
  const std::string name = inputs["transfer"].word;
  p.transfer = squared ? "identity" : name;
  const Matrix a_hat = product(p.x, p.W);
  p.y_target = sum(f(p.transfer, a_hat), matrix_of(inputs["g"]), -inputs["target_step"].real());
  p.weight_step = inputs.has("weight_step") ? inputs["weight_step"].real() : INFINITY;
  const bool mean = conventions.has("local_reduction") && conventions["local_reduction"].word == "mean";
  p.scale = mean ? static_cast<double>(p.x.size()) : 1.0;
  return p;
}

Matrix closed_form(const Problem& p) {
  const Matrix X = transposed(p.x), residual = sum(product(p.x, p.W), p.y_target, -1);
  const bool dual = std::isinf(p.weight_step) && p.x.size() < X.size();
  Matrix H = dual ? product(p.x, X) : product(X, p.x);
  for (std::size_t i = 0; i < H.size(); ++i) H[i][i] += p.scale / p.weight_step;
  const Matrix change = dual ? product(X, solve(H, residual)) : solve(H, product(X, residual));
  return sum(p.W, change, -1);
}

Matrix local_steps(const Problem& p, const Json& conventions, const Json& inputs) {
  const int K = static_cast<int>(inputs["num_local_steps"].real());
  const bool constant = conventions["local_decay"].word == "constant";
  Matrix W = p.W;
  for (int k = 0; k < K; ++k) {
    const double decay = constant ? 1.0 : std::max(1.0 - static_cast<double>(k) / K, 0.25);
    W = sum(W, p.gradient(W), -inputs["local_lr"].real() * decay);
  }
  return W;
}

std::string written(double v) {
  if (std::isnan(v)) return "\"nan\"";
  if (std::isinf(v)) return v > 0 ? "\"inf\"" : "\"-inf\"";
  std::ostringstream out;
  out.precision(17);
  out << v;
  return out.str();
}
std::string written(const Row& row) {
  std::string text;
  for (double v : row) text += (text.empty() ? "" : ", ") + written(v);
  return "[" + text + "]";
}
std::string written(const Matrix& A) {
  std::string text;
  for (const Row& row : A) text += (text.empty() ? "" : ", ") + written(row);
  return "[" + text + "]";
}
std::string weights(const Problem& p, Matrix W) {
  if (!p.bias) return "{\"W\": " + written(W) + "}";
  const Row b = W.back();
  W.pop_back();
  return "{\"W\": " + written(W) + ", \"b\": " + written(b) + "}";
}

// Returns the results of a case as JSON, or null where it is not covered.
std::string run(const std::string& topic, const Json& conventions, const Json& inputs) {
  if (!covered(inputs["transfer"].word)) return "null";
  if (conventions.has("project_targets") && conventions["project_targets"].word == "range") return "null";
  if (topic == "local_steps" && inputs["optimizer"].word != "sgd") return "null";
  const Problem p = problem(conventions, inputs);
  if (topic == "target") return "{\"y_target\": " + written(p.y_target) + "}";
  return weights(p, topic == "closed_form" ? closed_form(p) : local_steps(p, conventions, inputs));
}

int main(int count, char** arguments) {
  if (count != 3) {
    std::cerr << "usage: cpp_adapter FOLDER_OF_VECTORS RESULTS.json\n";
    return 2;
  }
  std::string results;
  double version = 0;
  for (const std::string topic : {"target", "closed_form", "local_steps"}) {
    std::ifstream file(std::string(arguments[1]) + "/" + topic + ".json");
    if (!file) {
      std::cerr << "cpp_adapter: " << arguments[1] << " has no " << topic << ".json\n";
      return 2;
    }
    std::stringstream content;
    content << file.rdbuf();
    const std::string text = content.str();
    const Json document = Reader(text).read();
    version = document["version"].real();
    for (const Json& group : document["groups"].items)
      for (const Json& one : group["cases"].items)
        results += (results.empty() ? "" : ",\n  ") + ("\"" + one["id"].word + "\": ") +
                   run(topic, group["conventions"], one["inputs"]);
  }
  std::ofstream out(arguments[2]);
  out << "{\"schema\": 1, \"vectors\": " << version
      << ", \"implementation\": \"examples/cpp_adapter.cpp\", \"dtype\": \"float64\",\n \"results\": {\n  "
      << results << "\n}}\n";
  return out ? 0 : 2;
}
