package chat

import (
	"net/http"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/chat/typing"
)

// System is the chat. Make it with New.
type System struct {
	// Set once by Start.
	host     relay.Host
	limit    Config
	durable  bool // channels of the state leave memory, or are another node's
	event    int  // bytes that an event may have
	rooms    rooms
	indexes  indexes
	repairs  repairs
	typing   typing.State
	away     typing.Away
	messages *metrics.Counter
}

// New makes the system; its bounds are those of the configuration that it is started with.
func New() *System { return new(System) }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.host, s.limit = host, *config.Of[Config](host.Config())
	s.durable = host.Config().Data != "" || !host.Alone()
	s.event = int(host.Config().Limit.Message)
	if ns, ok := host.Config().Namespaces["event"]; ok {
		s.event = int(ns.Limit.Message)
	}
	if err := s.reserve(); err != nil {
		return err
	}
	s.rooms.load = s.load
	s.typing.Now, s.typing.Publish, s.typing.Member, s.typing.Refused, s.typing.Contain = host.Now, s.publishTyping, s.isMember, errNotTyping, host.Contain()
	host.Guard(roomNamespace, s.guard, func(channel string) string { return stateChannel(channel[len(roomNamespace)+1:]) })
	host.OnClient(topicTypingStart, s.onTyping)
	host.OnClient(topicTypingStop, s.onTyping)
	host.OnClose(func(user, connection string, _ bool) {
		s.typing.Disconnected(user, connection, "")
		s.away.Disconnected(user, connection)
	})
	s.withOthers()

	const rooms, room = "/chat/rooms", "/chat/rooms/{roomId}"
	const message = room + "/messages/{messageId}"
	s.route(http.MethodPost, rooms, s.ofNewRoom, s.createRoom)
	s.route(http.MethodGet, rooms, ofUser, s.listRooms)
	s.route(http.MethodGet, room, ofRoom, s.getRoom)
	s.route(http.MethodPost, room+"/join", ofRoom, s.joinRoom)
	s.route(http.MethodPost, room+"/leave", ofRoom, s.leaveRoom)
	s.route(http.MethodGet, room+"/members", ofRoom, s.listMembers)
	s.route(http.MethodPost, room+"/members", ofRoom, s.addMember)
	s.route(http.MethodDelete, room+"/members/{userId}", ofRoom, s.removeMember)
	s.route(http.MethodPost, room+"/messages", ofRoom, s.sendMessage)
	s.route(http.MethodGet, room+"/messages", ofRoom, s.listMessages)
	s.route(http.MethodPatch, message, ofRoom, s.editMessage)
	s.route(http.MethodDelete, message, ofRoom, s.deleteMessage)
	s.route(http.MethodPut, message+"/reactions/{reaction}", ofRoom, s.addReaction)
	s.route(http.MethodDelete, message+"/reactions/{reaction}", ofRoom, s.removeReaction)
	s.route(http.MethodPost, room+"/read", ofRoom, s.markRead)

	s.messages = host.Metrics().NewCounter("weir_chat_messages_total")
	host.Metrics().NewGauge("weir_chat_rooms_loaded", func() float64 { return float64(s.rooms.count()) })
	host.Metrics().NewGauge("weir_chat_typing", func() float64 { return float64(s.typing.Count()) })
	return nil
}

func (s *System) Close() {
	s.repairs.cancel()
	s.repairs.work.Wait()
	s.away.Close()
	s.typing.Close()
}

// Name is what the configuration calls the system.
const Name = "chat"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Namespaces:  []string{stateNamespace, indexNamespace},
			Kept:        []string{stateNamespace, indexNamespace},
			Place:       place,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_chat_rooms_loaded", Type: relay.Gauge, Help: "Rooms in memory."},
			{Name: "weir_chat_messages_total", Type: relay.Counter, Help: "Messages that were accepted."},
			{Name: "weir_chat_typing", Type: relay.Gauge, Help: "Users who are typing in a room, or were until just now."},
		},
	}
}

// Config bounds what the chat keeps.
type Config struct {
	Members  int `yaml:"members" default:"1000" range:"2..10000"`     // of one room
	Messages int `yaml:"messages" default:"10000" range:"1..1000000"` // of one room, beyond which the oldest go
	Rooms    int `yaml:"rooms" default:"500" range:"1..100000"`       // that one user is a member of
}

// Key implements config.Section.
func (*Config) Key() string { return "chat" }
