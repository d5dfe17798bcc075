# Makes the tables and the users that the guide takes for granted, and serves. The application is what "rails new" makes, in one file.
require "logger"
require "rails"
require "action_controller/railtie"
require "active_job/railtie"
require "active_record/railtie"
require "action_view/railtie"
require "rack/handler/webrick"

module Shop
  class Application < Rails::Application
    config.root = __dir__
    config.load_defaults 6.1
    config.secret_key_base = ENV.fetch("SESSION_SECRET")
    config.hosts.clear
    config.eager_load = false
    config.logger = Logger.new($stderr)
    config.log_level = :warn
    config.active_job.queue_adapter = :inline
    config.cache_store = :memory_store
  end
end
ENV["DATABASE_URL"] = "sqlite3:#{File.join(__dir__, "shop.sqlite3")}?pool=32"
Rails.application.initialize!

ActiveRecord::Schema.verbose = false
ActiveRecord::Schema.define do
  create_table(:users) { |t| t.string :name; t.string :password; t.json :rooms }
  create_table(:orders) { |t| t.integer :user_id; t.string :item; t.string :state; t.timestamps }
end

User.create!(name: "ann", password: "secret", rooms: ["room:1"])
User.create!(name: "bob", password: "secret", rooms: ["room:1", "room:2"])
Rack::Handler::WEBrick.run(Rails.application, Host: "127.0.0.1", Port: ENV.fetch("PORT").to_i, AccessLog: [], Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN))
