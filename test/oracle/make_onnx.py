"""make_onnx.py OUT: everything.onnx, a small model that holds what ONNX files may hold besides nodes and weights: subgraphs that read the graph around
them, a local function, sparse and typed initialisers, quantisation notes, metadata, documentation, free and unnamed dimensions. onnx 1.23.2."""
import sys
import numpy as np, onnx
from onnx import TensorProto as T, helper as h, numpy_helper

F = T.FLOAT
value = lambda name, dims=(1, 4), kind=F: h.make_tensor_value_info(name, kind, dims)

# inner If in an outer one: reads `outer` and `x` of the graph around it
deep = lambda op: h.make_graph([h.make_node(op, ['outer', 'x'], ['deep_y'])], 'deep', [], [value('deep_y', ['n', 4])])
then = h.make_graph([h.make_node('If', ['flag'], ['deeper'], then_branch=deep('Add'), else_branch=deep('Mul')), h.make_node('Add', ['deeper', 'in_then'], ['then_y'])],
                    'then', [], [value('then_y', ['n', 4])], [h.make_tensor('in_then', F, [1], [0.5])])
other = h.make_graph([h.make_node('Identity', ['only_in_else'], ['else_y'])], 'else', [], [value('else_y', ['n', 4])])
body = h.make_graph([h.make_node('Add', ['carried', 'step'], ['next']), h.make_node('Identity', ['go'], ['go_on'])], 'body',
                    [value('i', [], T.INT64), value('go', [], T.BOOL), value('carried', ['n', 4])], [value('go_on', [], T.BOOL), value('next', ['n', 4])])

double = h.make_function('local', 'Scale', ['a'], ['b'], [h.make_node('Constant', [], ['c']), h.make_node('Mul', ['a', 'c'], ['b'])], [h.make_opsetid('', 17)], ['by'])
double.node[0].attribute.append(onnx.AttributeProto(name='value_float', type=onnx.AttributeProto.FLOAT, ref_attr_name='by'))

nodes = [
    h.make_node('Mul', ['x', 'typed'], ['outer'], name='named', doc_string='kept'),
    h.make_node('Neg', ['x'], ['only_in_else']),
    h.make_node('If', ['flag'], ['chosen'], then_branch=then, else_branch=other),
    h.make_node('Loop', ['trips', 'flag', 'chosen'], ['looped'], body=body),
    h.make_node('Scale', ['looped'], ['scaled'], domain='local', by=2.0),
    h.make_node('MatMul', ['scaled', 'big'], ['product']),
    h.make_node('Constant', [], ['k'], value=numpy_helper.from_array(np.array([[1, -2, 3, 4]], np.float32))),
    h.make_node('Add', ['product', 'k'], ['shifted']),
    h.make_node('Add', ['shifted', 'sparse'], ['y']),
    h.make_node('Constant', [], ['words'], value_strings=['one', 'zwei', 'été']),
    h.make_node('ReduceSum', ['x', 'axes'], ['total'], keepdims=0),
]
nodes[0].metadata_props.add(key='namespace', value='test')
rng = np.random.default_rng(0)
initial = [
    h.make_tensor('typed', F, [4], [1.5, -0.25, 2, 1e-3]), h.make_tensor('axes', T.INT64, [1], [1]), h.make_tensor('flag', T.BOOL, [], [True]), h.make_tensor('trips', T.INT64, [], [3]),
    numpy_helper.from_array(np.full((1, 4), 0.125, np.float32), 'step'), numpy_helper.from_array(rng.normal(size=(4, 400)).astype(np.float32)[:, :4].copy(), 'small'),
    numpy_helper.from_array(rng.normal(size=(4, 4)).astype(np.float32), 'big'), h.make_tensor('half', T.FLOAT16, [3], [1, 2, 65504]),
    numpy_helper.from_array(rng.normal(size=(40, 16)).astype(np.float32), 'table'), h.make_tensor('names', T.STRING, [2], [b'a', 'ü'.encode()]),
    h.make_tensor('double', T.DOUBLE, [2], [1e300, -1]), h.make_tensor('unsigned', T.UINT64, [1], [2**63]),
]
initial[0].doc_string = 'numbers one by one'
nodes.append(h.make_node('Gather', ['table', 'axes'], ['row']))
sparse = onnx.SparseTensorProto(values=h.make_tensor('sparse', F, [2], [10.0, -10.0]), indices=h.make_tensor('sparse_at', T.INT64, [2], [1, 3]), dims=[1, 4])
graph = h.make_graph(nodes, 'everything', [value('x', ['n', 4])], [value('y', ['n', None]), value('total', ['n']), value('row', ['m', 16])], initial,
                     doc_string='a graph', value_info=[value('outer', ['n', 4]), value('product', [None, 4])], sparse_initializer=[sparse])
graph.input[0].type.denotation = 'TENSOR'
graph.quantization_annotation.append(onnx.TensorAnnotation(tensor_name='outer', quant_parameter_tensor_names=[onnx.StringStringEntryProto(key='SCALE_TENSOR', value='typed')]))
graph.metadata_props.add(key='a', value='b')
model = h.make_model(graph, functions=[double], opset_imports=[h.make_opsetid('', 17), h.make_opsetid('local', 1)], ir_version=10,
                     producer_name='saelab', producer_version='1', doc_string='a model', model_version=7)
h.set_model_props(model, {'key': 'ü'})
onnx.checker.check_model(model)
open(sys.argv[1], 'wb').write(model.SerializeToString(deterministic=True))
