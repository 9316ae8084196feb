/**
 * The C functions of ggml that Cria calls: prototypes as in the headers of the pinned build (ggml.h,
 * ggml-alloc.h, ggml-backend.h of llama.cpp release v0.5.0, ggml 0.25.1), with every pointer written `ptr`.
 * A wrong prototype here corrupts memory, so the pin in package.json and this table change together.
 */

import type { NativeFunction, NativeLibrary, Pointer } from "./ffi.ts";

type P = Pointer;
type N = number;

/** @param base libggml-base: tensors, graphs, buffers. @param registry libggml: backends and devices. */
export function bindGgml(base: NativeLibrary, registry: NativeLibrary): Ggml {
  return {
    ...bindContext(base),
    ...bindBackends(base, registry),
    ...bindArithmetic(base),
    ...bindLayers(base),
  };
}

export type Ggml = ReturnType<typeof bindContext> &
  ReturnType<typeof bindBackends> &
  ReturnType<typeof bindArithmetic> &
  ReturnType<typeof bindLayers>;

// --- internal ---

interface InitParams {
  readonly mem_size: number;
  readonly mem_buffer: Pointer;
  readonly no_alloc: boolean;
}

function bindContext(lib: NativeLibrary) {
  const c = <A extends readonly unknown[], R>(prototype: string): NativeFunction<A, R> =>
    lib.bind<A, R>(prototype);
  return {
    init: c<[InitParams], P>("ptr ggml_init(ggml_init_params params)"),
    free: c<[P], void>("void ggml_free(ptr ctx)"),
    logSet: c<[P, P], void>("void ggml_log_set(ptr callback, ptr data)"),
    version: c<[], string>("const char *ggml_version()"),
    opDesc: c<[P], string>("const char *ggml_op_desc(ptr t)"),
    tensorOverhead: c<[], N>("size_t ggml_tensor_overhead()"),
    graphOverheadCustom: c<[N, boolean], N>("size_t ggml_graph_overhead_custom(size_t size, bool grads)"),
    newTensor4d: c<[P, N, N, N, N, N], P>(
      "ptr ggml_new_tensor_4d(ptr ctx, int type, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3)",
    ),
    nbytes: c<[P], N>("size_t ggml_nbytes(ptr t)"),
    quantizeChunk: c<[N, P, P, N, N, N, P], N>(
      "size_t ggml_quantize_chunk(int type, ptr src, ptr dst, int64_t start, int64_t nrows, int64_t n_per_row, ptr imatrix)",
    ),
    getData: c<[P], P>("ptr ggml_get_data(ptr t)"),
    setOutput: c<[P], void>("void ggml_set_output(ptr t)"),
    setParam: c<[P], void>("void ggml_set_param(ptr t)"),
    newGraphCustom: c<[P, N, boolean], P>("ptr ggml_new_graph_custom(ptr ctx, size_t size, bool grads)"),
    buildForwardExpand: c<[P, P], void>("void ggml_build_forward_expand(ptr graph, ptr t)"),
    graphNNodes: c<[P], N>("int ggml_graph_n_nodes(ptr graph)"),
    graphNode: c<[P, N], P>("ptr ggml_graph_node(ptr graph, int i)"),
    gallocrNew: c<[P], P>("ptr ggml_gallocr_new(ptr buft)"),
    gallocrFree: c<[P], void>("void ggml_gallocr_free(ptr galloc)"),
    gallocrReserve: c<[P, P], boolean>("bool ggml_gallocr_reserve(ptr galloc, ptr graph)"),
    gallocrReserveNSize: c<[P, P, P, P, BigUint64Array], void>(
      "void ggml_gallocr_reserve_n_size(ptr galloc, ptr graph, ptr nodes, ptr leafs, uint64_t *sizes)",
    ),
    gallocrAllocGraph: c<[P, P], boolean>("bool ggml_gallocr_alloc_graph(ptr galloc, ptr graph)"),
    gallocrGetBufferSize: c<[P, N], N>("size_t ggml_gallocr_get_buffer_size(ptr galloc, int id)"),
    allocCtxTensors: c<[P, P], P>("ptr ggml_backend_alloc_ctx_tensors_from_buft(ptr ctx, ptr buft)"),
    allocCtxTensorsSize: c<[P, P], N>(
      "size_t ggml_backend_alloc_ctx_tensors_from_buft_size(ptr ctx, ptr buft)",
    ),
  };
}

function bindBackends(lib: NativeLibrary, registry: NativeLibrary) {
  const c = <A extends readonly unknown[], R>(prototype: string): NativeFunction<A, R> =>
    lib.bind<A, R>(prototype);
  const r = <A extends readonly unknown[], R>(prototype: string): NativeFunction<A, R> =>
    registry.bind<A, R>(prototype);
  return {
    loadAllFromPath: r<[string], void>("void ggml_backend_load_all_from_path(const char *dir)"),
    devCount: r<[], N>("size_t ggml_backend_dev_count()"),
    devGet: r<[N], P>("ptr ggml_backend_dev_get(size_t i)"),
    devName: c<[P], string>("const char *ggml_backend_dev_name(ptr dev)"),
    devDescription: c<[P], string>("const char *ggml_backend_dev_description(ptr dev)"),
    devType: c<[P], N>("int ggml_backend_dev_type(ptr dev)"),
    devBackendReg: c<[P], P>("ptr ggml_backend_dev_backend_reg(ptr dev)"),
    devInit: c<[P, P], P>("ptr ggml_backend_dev_init(ptr dev, ptr params)"),
    regGetProcAddress: c<[P, string], P>("ptr ggml_backend_reg_get_proc_address(ptr reg, const char *name)"),
    backendFree: c<[P], void>("void ggml_backend_free(ptr backend)"),
    backendDefaultBufferType: c<[P], P>("ptr ggml_backend_get_default_buffer_type(ptr backend)"),
    backendSupportsOp: c<[P, P], boolean>("bool ggml_backend_supports_op(ptr backend, ptr op)"),
    graphCompute: c<[P, P], N>("int ggml_backend_graph_compute(ptr backend, ptr graph)"),
    buftIsHost: c<[P], boolean>("bool ggml_backend_buft_is_host(ptr buft)"),
    cpuBufferFromPtr: c<[P, N], P>("ptr ggml_backend_cpu_buffer_from_ptr(ptr data, size_t size)"),
    bufferFree: c<[P], void>("void ggml_backend_buffer_free(ptr buffer)"),
    bufferGetSize: c<[P], N>("size_t ggml_backend_buffer_get_size(ptr buffer)"),
    bufferClear: c<[P, N], void>("void ggml_backend_buffer_clear(ptr buffer, uint8_t value)"),
    tensorAlloc: c<[P, P, P], N>("int ggml_backend_tensor_alloc(ptr buffer, ptr tensor, ptr addr)"),
    tensorSet: c<[P, Uint8Array, N, N], void>(
      "void ggml_backend_tensor_set(ptr t, const uint8_t *data, size_t offset, size_t size)",
    ),
    tensorGet: c<[P, Uint8Array, N, N], void>(
      "void ggml_backend_tensor_get(ptr t, uint8_t *data, size_t offset, size_t size)",
    ),
    tensorMemset: c<[P, N, N, N], void>(
      "void ggml_backend_tensor_memset(ptr t, uint8_t value, size_t offset, size_t size)",
    ),
  };
}

function bindArithmetic(lib: NativeLibrary) {
  const unary = (name: string): NativeFunction<[P, P], P> =>
    lib.bind<[P, P], P>(`ptr ggml_${name}(ptr ctx, ptr a)`);
  const binary = (name: string): NativeFunction<[P, P, P], P> =>
    lib.bind<[P, P, P], P>(`ptr ggml_${name}(ptr ctx, ptr a, ptr b)`);
  const c = <A extends readonly unknown[], R>(prototype: string): NativeFunction<A, R> =>
    lib.bind<A, R>(prototype);
  return {
    add: binary("add"),
    addInplace: binary("add_inplace"),
    sub: binary("sub"),
    mul: binary("mul"),
    mulInplace: binary("mul_inplace"),
    div: binary("div"),
    neg: unary("neg"),
    sqr: unary("sqr"),
    sqrt: unary("sqrt"),
    exp: unary("exp"),
    log: unary("log"),
    sigmoid: unary("sigmoid"),
    tanh: unary("tanh"),
    step: unary("step"),
    silu: unary("silu"),
    softplus: unary("softplus"),
    siluBack: binary("silu_back"),
    swigluSplit: binary("swiglu_split"),
    sum: unary("sum"),
    sumRows: unary("sum_rows"),
    argmax: unary("argmax"),
    repeat: binary("repeat"),
    repeatBack: binary("repeat_back"),
    cont: unary("cont"),
    cpy: binary("cpy"),
    mulMat: binary("mul_mat"),
    getRows: binary("get_rows"),
    getRowsBack: c<[P, P, P, P], P>("ptr ggml_get_rows_back(ptr ctx, ptr a, ptr b, ptr c)"),
    setRows: c<[P, P, P, P], P>("ptr ggml_set_rows(ptr ctx, ptr a, ptr b, ptr c)"),
    cast: c<[P, P, N], P>("ptr ggml_cast(ptr ctx, ptr a, int type)"),
    scaleBias: c<[P, P, N, N], P>("ptr ggml_scale_bias(ptr ctx, ptr a, float s, float b)"),
    scale: c<[P, P, N], P>("ptr ggml_scale(ptr ctx, ptr a, float s)"),
    clamp: c<[P, P, N, N], P>("ptr ggml_clamp(ptr ctx, ptr a, float min, float max)"),
  };
}

function bindLayers(lib: NativeLibrary) {
  const c = <A extends readonly unknown[], R>(prototype: string): NativeFunction<A, R> =>
    lib.bind<A, R>(prototype);
  const rope =
    "(ptr ctx, ptr a, ptr pos, ptr freqs, int n_dims, int mode, int n_ctx_orig, float base, float scale, float ext, float attn, float fast, float slow)";
  return {
    rmsNorm: c<[P, P, N], P>("ptr ggml_rms_norm(ptr ctx, ptr a, float eps)"),
    rmsNormBack: c<[P, P, P, N], P>("ptr ggml_rms_norm_back(ptr ctx, ptr a, ptr b, float eps)"),
    softMaxExt: c<[P, P, P, N, N], P>(
      "ptr ggml_soft_max_ext(ptr ctx, ptr a, ptr mask, float scale, float max_bias)",
    ),
    softMaxInplace: c<[P, P], P>("ptr ggml_soft_max_inplace(ptr ctx, ptr a)"),
    softMaxExtBack: c<[P, P, P, N, N], P>(
      "ptr ggml_soft_max_ext_back(ptr ctx, ptr a, ptr b, float scale, float max_bias)",
    ),
    ropeExt: c<[P, P, P, P, N, N, N, N, N, N, N, N, N], P>(`ptr ggml_rope_ext${rope}`),
    ropeExtBack: c<[P, P, P, P, N, N, N, N, N, N, N, N, N], P>(`ptr ggml_rope_ext_back${rope}`),
    flashAttnExt: c<[P, P, P, P, P, N, N, N], P>(
      "ptr ggml_flash_attn_ext(ptr ctx, ptr q, ptr k, ptr v, ptr mask, float scale, float max_bias, float softcap)",
    ),
    reshape4d: c<[P, P, N, N, N, N], P>(
      "ptr ggml_reshape_4d(ptr ctx, ptr a, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3)",
    ),
    permute: c<[P, P, N, N, N, N], P>("ptr ggml_permute(ptr ctx, ptr a, int a0, int a1, int a2, int a3)"),
    view4d: c<[P, P, N, N, N, N, N, N, N, N], P>(
      "ptr ggml_view_4d(ptr ctx, ptr a, int64_t ne0, int64_t ne1, int64_t ne2, int64_t ne3, size_t nb1, size_t nb2, size_t nb3, size_t offset)",
    ),
    optStepAdamw: c<[P, P, P, P, P, P], P>(
      "ptr ggml_opt_step_adamw(ptr ctx, ptr a, ptr grad, ptr m, ptr v, ptr params)",
    ),
  };
}
