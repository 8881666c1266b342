package encoder

import (
	"math"
	"strconv"

	"pema/models/torch"
)

// relative are the embeddings of relative positions, one matrix for all layers.
type relative struct {
	w    *torch.Tensor // nil: no relative attention
	norm *norm
	span int // half the height of w
	log  int // distances from half of span on share rows up to this one; 0: each has its own
	to   torch.Device
}

func (b *builder) relative() *relative {
	c, d := b.cfg, b.cfg.Disentangled
	r := &relative{span: d.RelativeRows() / 2, to: b.opt.Device}
	if d.PositionBuckets > 0 {
		r.log = d.MaxRelativePositions
	}
	if d.RelativeAttention {
		r.w = b.param(b.prefix+"encoder.rel_embeddings.weight", required, int64(d.RelativeRows()), int64(c.HiddenSize))
	}
	if d.NormRelEmbeddings {
		n := b.norm(b.prefix+"encoder.LayerNorm", int64(c.HiddenSize))
		r.norm = &n
	}
	return r
}

// relation is what one pass has of them.
type relation struct {
	rows     *torch.Tensor // (1, 2 span, hidden)
	position *torch.Tensor // (1, length, length) int64: for a query i, the row of key j
	content  *torch.Tensor // the same for a key i: the row of query j
}

func (r *relative) on(s *torch.Scope, length int64) *relation {
	if r.w == nil || s.Err() != nil {
		return nil
	}
	n := r.w.Shape()
	out := &relation{}
	if r.norm != nil {
		out.rows = s.View(r.norm.on(s, r.w).Last(), 1, n[0], n[1])
	} else {
		out.rows = s.View(r.w, 1, n[0], n[1])
	}
	position, content := make([]int64, length*length), make([]int64, length*length)
	for i := range length {
		for j := range length {
			k := bucket(int(i-j), r.span, r.log)
			position[i*length+j] = int64(min(max(r.span+k, 0), 2*r.span-1))
			content[i*length+j] = int64(min(max(r.span-k, 0), 2*r.span-1))
		}
	}
	put := func(v []int64) *torch.Tensor {
		t, err := torch.Of(v, 1, length, length)
		if err != nil {
			return s.Take(nil, err)
		}
		defer t.Drop()
		return s.Take(t.To(r.to))
	}
	out.position, out.content = put(position), put(content)
	return out
}

func (r *relation) drop() {
	if r != nil {
		r.rows.Drop()
		r.position.Drop()
		r.content.Drop()
	}
}

// bucket is transformers' make_log_bucket_position in the same single precision: distances below half of buckets keep their own
// number, greater ones up to longest share the other half on a logarithmic scale. longest 0: no sharing.
func bucket(distance, buckets, longest int) int {
	mid := buckets / 2
	size := max(distance, -distance)
	if longest == 0 || size <= mid {
		return distance
	}
	log := func(x float32) float32 { return float32(math.Log(float64(x))) }
	scale := log(float32(float64(longest-1) / float64(mid)))
	k := int(math.Ceil(float64(log(float32(size)/float32(mid))/scale*float32(mid-1)))) + mid
	if distance < 0 {
		return -k
	}
	return k
}

// disentangled is the attention of DeBERTa (He et al., 2021, equation 4): the scores add content to content, content to position and
// position to content, each divided by the root of width times their number. It holds for backward what transformers' does.
func (b *builder) disentangled(name string) attention {
	c, d := b.cfg, b.cfg.Disentangled
	h, heads := int64(c.HiddenSize), int64(c.Heads)
	if n := c.Text("attention_head_size"); n != "" && n != strconv.Itoa(c.HiddenSize/c.Heads) {
		b.fail("attention_head_size %s is not hidden_size / num_attention_heads", n)
	}
	project := func(part string) linear { return b.linear(name+"attention.self."+part, required, h, h) }
	adapted := func(part string) linear { return b.adapted(name+"attention.self."+part, h, h) }
	query, key, value := adapted("query_proj"), project("key_proj"), adapted("value_proj")
	positionKey, positionQuery := key, query
	parts := 1
	if d.ContentToPosition {
		parts++
	}
	if d.PositionToContent {
		parts++
	}
	if d.RelativeAttention && !d.ShareAttentionKey {
		if d.ContentToPosition {
			positionKey = project("pos_key_proj")
		}
		if d.PositionToContent {
			positionQuery = project("pos_query_proj")
		}
	}
	scale := float64(float32(math.Sqrt(float64(h / heads * int64(parts)))))

	// (n, length, hidden) -> (n heads, length, width)
	split := func(s *torch.Scope, x *torch.Tensor) *torch.Tensor {
		if s.Err() != nil {
			return nil
		}
		n := x.Shape()
		x = s.Transpose(s.View(x.Last(), n[0], n[1], heads, h/heads).Last(), 1, 2)
		return s.Reshape(x.Last(), n[0]*heads, n[1], h/heads)
	}
	flip := func(s *torch.Scope, x *torch.Tensor) *torch.Tensor { return s.Transpose(x, 1, 2).Last() }

	return func(s *torch.Scope, x *torch.Tensor, p pass) *torch.Tensor {
		if s.Err() != nil {
			return nil
		}
		n := x.Shape()
		batch, length := n[0], n[1]
		q, k, v := split(s, query.on(s, x)), split(s, key.on(s, x)), split(s, value.on(s, x))
		scores := s.BatchMatrix(q, s.Divide(flip(s, k), scale).Last())
		if r := p.relation; r != nil {
			rows := s.Dropout(r.rows, c.HiddenDropout)
			at := func(l linear) *torch.Tensor { return s.Repeat(split(s, l.on(s, rows)).Last(), batch, 1, 1) }
			var byQuery, byKey, bias *torch.Tensor // in transformers' order
			if d.PositionToContent {
				byKey = at(positionQuery)
			}
			if d.ContentToPosition {
				byQuery = at(positionKey)
			}
			if rows != r.rows {
				rows.Drop()
			}
			pick := func(x, by, index *torch.Tensor) *torch.Tensor {
				y := s.BatchMatrix(x, flip(s, by.Last()))
				return s.Gather(y.Last(), s.Expand(index, batch*heads, length, length).Last())
			}
			if d.ContentToPosition {
				bias = s.Divide(pick(q, byQuery, r.position).Last(), scale)
			}
			if d.PositionToContent {
				y := s.Divide(flip(s, pick(k, byKey, r.content).Last()), scale)
				if bias != nil {
					y = s.Add(bias.Last(), y.Last())
				}
				bias = y
			}
			if bias != nil {
				scores = s.Add(scores.Last(), bias.Last())
			}
		}
		q.Drop()
		k.Drop()
		scores = s.Mask(s.View(scores.Last(), batch, heads, length, length).Last(), p.mask)
		scores = s.Dropout(s.Softmax(scores.Last()).Last(), c.AttentionDropout)
		y := s.BatchMatrix(s.View(scores.Last(), batch*heads, length, length).Last(), v.Last())
		y = s.Transpose(s.View(y.Last(), batch, heads, length, h/heads).Last(), 1, 2)
		return s.Reshape(y.Last(), batch, length, h)
	}
}
