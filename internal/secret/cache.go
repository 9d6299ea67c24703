package secret

import (
	"context"
	"errors"
	"sync"
)

// Cache is secrets in memory, so that no request waits for a vault. What was read once is
// kept until Refresh reads it anew; a secret that can't be read then stays as it was. Its size
// is bounded by the configuration, which all references come from. It is safe for concurrent use.
type Cache struct {
	resolver Resolver
	mu       sync.Mutex
	values   map[Ref]Value
}

// NewCache returns an empty Cache.
func NewCache(r Resolver) *Cache { return &Cache{resolver: r, values: map[Ref]Value{}} }

// Get returns the secret that ref names, from memory if it is there. The zero Ref gives the zero
// Value.
func (c *Cache) Get(ctx context.Context, ref Ref) (Value, error) {
	c.mu.Lock()
	v, ok := c.values[ref]
	c.mu.Unlock()
	if ok || ref.IsZero() {
		return v, nil
	}
	v, err := c.resolver.Resolve(ctx, ref)
	if err != nil {
		return Value{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[ref] = v
	return v, nil
}

// Refresh reads all secrets again, and says whether one is another than before. An error is
// about those that could not be read, and have stayed.
func (c *Cache) Refresh(ctx context.Context) (changed bool, err error) {
	c.mu.Lock()
	refs := make([]Ref, 0, len(c.values))
	for ref := range c.values {
		refs = append(refs, ref)
	}
	c.mu.Unlock()
	var errs []error
	for _, ref := range refs {
		v, err := c.resolver.Resolve(ctx, ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.mu.Lock()
		if !v.Equal(c.values[ref]) {
			c.values[ref], changed = v, true
		}
		c.mu.Unlock()
	}
	return changed, errors.Join(errs...)
}
