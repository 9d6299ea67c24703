// Package members is a set for groups and users: most sets have a handful of
// members, so that a map for each would be most of their memory; large ones get
// an index.
package members

// Set is a set in no order. The zero value is empty.
type Set[T comparable] struct {
	list  []T
	index map[T]int // nil while the list is short
}

// short is how long a list may get without an index.
const short = 16

// List is the members. It belongs to the set, and changes with it.
func (s *Set[T]) List() []T { return s.list }

// Len is the number of members.
func (s *Set[T]) Len() int { return len(s.list) }

// Has says whether m is a member.
func (s *Set[T]) Has(m T) bool { return s.find(m) >= 0 }

func (s *Set[T]) find(m T) int {
	if s.index != nil {
		if i, ok := s.index[m]; ok {
			return i
		}
		return -1
	}
	for i, o := range s.list {
		if o == m {
			return i
		}
	}
	return -1
}

// Add makes m a member; no if it is one.
func (s *Set[T]) Add(m T) bool {
	if s.find(m) >= 0 {
		return false
	}
	s.list = append(s.list, m)
	if s.index != nil {
		s.index[m] = len(s.list) - 1
	} else if len(s.list) > short {
		s.index = make(map[T]int, 2*short)
		for i, o := range s.list {
			s.index[o] = i
		}
	}
	return true
}

// Remove takes m out; no if it was no member.
func (s *Set[T]) Remove(m T) bool {
	i := s.find(m)
	if i < 0 {
		return false
	}
	last := len(s.list) - 1
	s.list[i] = s.list[last]
	clear(s.list[last:])
	s.list = s.list[:last]
	if s.index != nil {
		delete(s.index, m)
		if i < last {
			s.index[s.list[i]] = i
		}
	}
	return true
}
