-- A copy for testing writes to nobody in the name of the original: neither mails to clients, nor messages to other
-- systems, nor checkpoints to the evidence mailbox or a time stamping authority. Links and messages that waited when the copy was made go nowhere.
UPDATE milestone_billing_approval_link
   SET state = 'failed', failure = 'neutralized copy'
 WHERE state = 'queued';
UPDATE milestone_billing_change_link
   SET state = 'no_address'
 WHERE state = 'queued';
UPDATE milestone_billing_webhook
   SET active = FALSE;
UPDATE res_company
   SET milestone_anchor_email = NULL, milestone_stamp_url = NULL;
UPDATE milestone_billing_evidence_stamp
   SET state = 'failed', last_error = 'neutralized copy'
 WHERE state = 'queued';
UPDATE milestone_billing_webhook_delivery
   SET state = 'dead', last_error = 'neutralized copy'
 WHERE state = 'queued';
UPDATE milestone_billing_change_link
   SET receipt_state = 'sent'
 WHERE receipt_state = 'queued';
