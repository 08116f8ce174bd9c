#pragma once
// What the attempts log may show of a request and its answer. Secrets end here. Pure.

#include "connectors/webhook/config.h"
#include "egress/http_client.h"
#include "model/attempt.h"

namespace sluice::connectors::webhook {

void show_request(const egress::HttpRequest& request, const Config& config, Exchange& exchange);
void show_response(egress::HttpResponse response, const Config& config, Exchange& exchange);

}  // namespace sluice::connectors::webhook
