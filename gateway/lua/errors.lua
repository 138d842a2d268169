-- What Envoy itself refuses, in words that gRPC clients decide by.
--
-- 1. connect-web ignores grpc-status on a response that is not 200: a 429 would look like UNAVAILABLE.
-- 2. A refusal of the token or the rate filter gets the ErrorInfo that a service would have sent.
local INFO = __ERROR_INFO__

function envoy_on_response(handle)
  local headers = handle:headers()
  local kind = headers:get("content-type")
  if kind == nil or kind:find("application/grpc", 1, true) ~= 1 then
    return
  end
  if headers:get(":status") == "429" then
    headers:replace(":status", "200")
    headers:replace("grpc-status", "8")
  end
  local info = INFO[headers:get("grpc-message") or ""]
  if info ~= nil and headers:get("grpc-status") ~= "0" and headers:get("grpc-status-details-bin") == nil then
    headers:add("grpc-status-details-bin", info)
  end
end
