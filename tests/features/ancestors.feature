Feature: Clients of the systems that came before
  A shop keeps the programs that its customers use already. They ask as they always did, and are answered as they always were.

  Background:
    Given the shop has 5 golden quills at 12.50 EUR each

  Rule: Who knows only names can order

    Scenario: She names the same thing twice
      When a customer orders by name 2 golden quills and 1 golden quill
      Then her order awaits payment
      And its total is 37.50 EUR

    Scenario: She names what nobody sells
      When a customer orders by name 1 unicorn
      Then that is refused as the old system did
      And she has 0 orders

  Rule: An order says whatever the shop writes on it, and only "cancelled" does something

    Scenario: It is packed
      Given a customer has ordered 2 golden quills
      When the shop writes "packed by Bob" on her order
      Then her order says "packed by Bob"
      And her order awaits payment

    Scenario: It is cancelled
      Given a customer has ordered 2 golden quills
      And the shop has written "packed by Bob" on her order
      When the shop writes "cancelled" on her order
      Then her order says "cancelled"
      And her order is cancelled

    Scenario: What was written gives way when the order moves on
      Given a customer has ordered 2 golden quills
      And the shop has written "packed by Bob" on her order
      When she pays
      Then her order says "processing"

  Rule: Who pays hears at once what came of it

    @servers
    Scenario: There is enough
      Given a customer has ordered 2 golden quills
      When she pays and waits
      Then she was told that her order is paid
      And her card has been charged 25.00 EUR

    Scenario: There is not enough
      Given a customer has ordered 6 golden quills
      When she pays and waits
      Then she was told that her order is failed
      And her card has not been charged

  Rule: One request can be an order and its payment

    Scenario: She wants the usual
      When a customer orders the usual
      Then her order is done in the end
      And the payment has been recorded once

  Rule: A message that was accepted is stored

    Scenario: She writes as before
      When she leaves the message "Do you sell ink?"
      Then "Do you sell ink?" is among the messages to the shop
