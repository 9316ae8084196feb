/** What each weight is called in Meta's, Hugging Face's and GGUF's files. */

/** Meta's name, with `N` for the layer -> [Hugging Face's, GGUF's]. */
const names: Readonly<Record<string, readonly [huggingFace: string, gguf: string]>> = {
  "tok_embeddings.weight": ["model.embed_tokens.weight", "token_embd.weight"],
  "layers.N.attention_norm.weight": ["model.layers.N.input_layernorm.weight", "blk.N.attn_norm.weight"],
  "layers.N.attention.wq.weight": ["model.layers.N.self_attn.q_proj.weight", "blk.N.attn_q.weight"],
  "layers.N.attention.wk.weight": ["model.layers.N.self_attn.k_proj.weight", "blk.N.attn_k.weight"],
  "layers.N.attention.wv.weight": ["model.layers.N.self_attn.v_proj.weight", "blk.N.attn_v.weight"],
  "layers.N.attention.wo.weight": ["model.layers.N.self_attn.o_proj.weight", "blk.N.attn_output.weight"],
  "layers.N.ffn_norm.weight": ["model.layers.N.post_attention_layernorm.weight", "blk.N.ffn_norm.weight"],
  "layers.N.feed_forward.w1.weight": ["model.layers.N.mlp.gate_proj.weight", "blk.N.ffn_gate.weight"],
  "layers.N.feed_forward.w2.weight": ["model.layers.N.mlp.down_proj.weight", "blk.N.ffn_down.weight"],
  "layers.N.feed_forward.w3.weight": ["model.layers.N.mlp.up_proj.weight", "blk.N.ffn_up.weight"],
  "norm.weight": ["model.norm.weight", "output_norm.weight"],
  "output.weight": ["lm_head.weight", "output.weight"],
  "score.weight": ["score.weight", "cls.output.weight"],
};

export function huggingFaceName(metaName: string): string {
  return translate(metaName, 0);
}

export function ggufName(metaName: string): string {
  return translate(metaName, 1);
}

/** Whether Hugging Face keeps the rows of this weight in its own rotary order. */
export function isRotary(metaName: string): boolean {
  return /\.attention\.w[qk]\.weight$/.test(metaName);
}

// --- internal ---

function translate(metaName: string, column: 0 | 1): string {
  const layer = /^layers\.(\d+)\./.exec(metaName)?.[1];
  const pattern = names[metaName.replace(/^layers\.\d+\./, "layers.N.")]![column];
  return layer === undefined ? pattern : pattern.replace(".N.", `.${layer}.`);
}
