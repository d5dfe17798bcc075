package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"weir/broker"
	"weir/relay/problem"
)

// callChannels is the call for the channels of a node.
const callChannels = "channels"

// answerChannels lets other nodes ask for the channels of this one.
func (s *Server) answerChannels() {
	s.hub.Answer(callChannels, func(body []byte) ([]byte, error) {
		var page channelsPage
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("request for channels: %w", err)
		}
		list, err := s.ownChannels(page)
		if err != nil {
			return nil, err
		}
		return json.Marshal(list)
	})
}

// channelsPage is which channels are asked for.
type channelsPage struct {
	Prefix string `json:"prefix"`
	After  string `json:"after"`
	Limit  int    `json:"limit"`
}

// nodeChannel is a channel as one node has it.
type nodeChannel struct {
	broker.Info
	Owned bool
}

func (s *Server) ownChannels(p channelsPage) ([]nodeChannel, error) {
	infos, err := s.hub.Broker.Channels(p.Prefix, p.After, p.Limit)
	list := make([]nodeChannel, len(infos))
	for i, info := range infos {
		if info.Readers > 0 && s.hub.Listens(info.Name) {
			info.Readers--
		}
		list[i] = nodeChannel{info, !s.hub.Elsewhere(info.Name)}
	}
	return list, err
}

// Channels are the first limit channels behind after whose names begin with prefix, of all nodes.
func (s *Server) Channels(prefix, after string, limit int) ([]broker.Info, error) {
	if s.hub.Cluster == nil {
		return s.hub.Broker.Channels(prefix, after, limit)
	}
	page := channelsPage{prefix, after, limit}
	own, err := s.ownChannels(page)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(page)
	if err != nil {
		return nil, err
	}
	answers, silent := s.hub.Cluster.CallAll(context.Background(), callChannels, body)
	if len(silent) > 0 {
		return nil, problem.Unavailable.With("a node did not respond: " + strings.Join(silent, ", "))
	}
	lists := [][]nodeChannel{own}
	for node, b := range answers {
		var list []nodeChannel
		if err := json.Unmarshal(b, &list); err != nil {
			return nil, errors.Join(errors.New("channels of "+node), err)
		}
		lists = append(lists, list)
	}
	merged := make(map[string]*nodeChannel)
	for _, list := range lists {
		for _, c := range list {
			have := merged[c.Name]
			if have == nil {
				merged[c.Name] = &c
				continue
			}
			readers := have.Readers + c.Readers
			if c.Owned {
				*have = c
			}
			have.Readers = readers
		}
	}
	var infos []broker.Info
	for _, c := range merged {
		infos = append(infos, c.Info)
	}
	slices.SortFunc(infos, func(a, b broker.Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos[:min(len(infos), limit)], nil
}
